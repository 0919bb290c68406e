//! Cleaning up after operations, supervisors and creators that died.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::instrument;
use virtcontainers_store::{Lease, LeaseMode, Ledger, Record};
use virtcontainers_types::{ContainerId, Deadlines, Operation, SandboxId, SandboxState, UndoEntry};

use crate::end;
use crate::error::{Context, Error, ErrorKind};
use crate::intent::{self, Intent};
use crate::runtime::{Runtime, blocking};
use crate::supervisor::client::ask_to_stop;
use crate::supervisor::control::Exits;
use crate::undo::{self, Effect, Extent, Undoer};

/// What [`Runtime::recover`] did to one sandbox.
#[derive(Debug)]
pub struct Recovered {
    /// The sandbox; absent for something that does not belong in the state root.
    pub id: Option<SandboxId>,
    /// What was found and done, or why that did not succeed.
    pub outcome: Result<Recovery, Error>,
}

/// How a sandbox was found, and what was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// All is well.
    Sound,
    /// Somebody is at it now.
    Busy,
    /// An interrupted operation was taken back or carried on.
    Settled,
    /// Its supervisor had died, or could not undo everything; now everything is undone, and it is
    /// `failed`, or `stopped` when somebody was stopping it.
    Undone,
    /// It was never completed, or its record cannot be read; everything was undone, and it is gone.
    Removed,
}

impl Recovery {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Busy => "busy",
            Self::Settled => "settled",
            Self::Undone => "undone",
            Self::Removed => "removed",
        }
    }
}

impl Runtime {
    /// Looks at every sandbox, and adopts or undoes what died midway: afterwards each is sound, or
    /// says why not. With `dry_run` nothing is changed, and the outcome is what would be done.
    ///
    /// Errors: `Internal` when the state root cannot be read. Safe to drop and to repeat.
    #[instrument(skip_all, fields(subsystem = "sandbox", dry_run))]
    pub async fn recover(&self, dry_run: bool) -> Result<Vec<Recovered>, Error> {
        let store = Arc::clone(&self.host.store);
        let listed = blocking(move || {
            if !dry_run {
                store
                    .sweep()
                    .during(|| "cannot sweep the state root".to_owned())?;
            }
            store
                .list()
                .during(|| "cannot list the sandboxes".to_owned())
        })
        .await?;
        let mut recovered = Vec::with_capacity(listed.len());
        for entry in listed {
            let (id, outcome) = match entry {
                Ok(id) => {
                    let outcome = self.recover_one(&id, dry_run).await;
                    (Some(id), outcome)
                }
                Err(error) => {
                    let message = "an entry of the state root";
                    (None, Err(Error::new(error.kind(), message).because(error)))
                }
            };
            recovered.push(Recovered { id, outcome });
        }
        Ok(recovered)
    }

    async fn recover_one(&self, id: &SandboxId, dry_run: bool) -> Result<Recovery, Error> {
        let lease = self
            .lease_within(id, LeaseMode::Exclusive, "recover", Duration::ZERO)
            .await;
        let mut lease = match lease {
            Ok(lease) => lease,
            Err(error) => match error.kind() {
                ErrorKind::Busy => return Ok(Recovery::Busy),
                // An interrupted creation has no record, or somebody removed it just now.
                ErrorKind::NotFound | ErrorKind::Corrupt => {
                    if !dry_run {
                        match self.salvage(id, self.deadlines()).await {
                            Err(error) if error.kind() == ErrorKind::NotFound => {}
                            salvaged => salvaged?,
                        }
                    }
                    return Ok(Recovery::Removed);
                }
                // It may be up, and well looked after by who wrote it.
                ErrorKind::Incompatible => {
                    let message = format!(
                        "sandbox {id} was stored by another version: recover it with that, or \
                         delete it with force"
                    );
                    return Err(Error::new(error.kind(), message).because(error).of(id));
                }
                _ => return Err(error),
            },
        };
        if self.is_orphan(lease.record()) {
            let removed =
                lease.record().state == SandboxState::Creating && lease.record().boots == 0;
            if !dry_run {
                self.recover_leased(lease).await?;
            }
            return Ok(match removed {
                true => Recovery::Removed,
                false => Recovery::Undone,
            });
        }
        let mut found = Recovery::Sound;
        if Self::is_unsettled(&lease)? {
            if !dry_run {
                self.settle(&mut lease).await?;
            }
            found = Recovery::Settled;
        }
        if Self::has_remains(&lease)? {
            if !dry_run {
                self.undo_stop(&lease, self.deadlines()).await?;
            }
            found = Recovery::Undone;
        }
        Ok(found)
    }

    /// Whether something is left of a machine that is gone: its end could not be undone then.
    pub(crate) fn has_remains(lease: &Lease) -> Result<bool, Error> {
        Ok(!lease.record().state.is_live() && undo::has_effects(&lease.ledger())?)
    }

    /// The lease on a sandbox, orphan or not.
    pub(crate) async fn lease(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &'static str,
    ) -> Result<Lease, Error> {
        self.lease_within(id, mode, operation, self.deadlines().lock)
            .await
    }

    async fn lease_within(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &'static str,
        deadline: Duration,
    ) -> Result<Lease, Error> {
        let failed = move |id: &SandboxId| format!("cannot {operation} sandbox {id}");
        // In place: to hand a few short system calls to another thread costs more than they do.
        match self.host.store.open(id, mode, operation, Duration::ZERO) {
            Err(error) if error.kind() == ErrorKind::Busy && !deadline.is_zero() => {}
            opened => return opened.during(|| failed(id)).map_err(|error| error.of(id)),
        }
        let store = Arc::clone(&self.host.store);
        let id = id.clone();
        blocking(move || {
            store
                .open(&id, mode, operation, deadline)
                .during(|| failed(&id))
                .map_err(|error| error.of(&id))
        })
        .await
    }

    /// If nobody looks after a sandbox that should have somebody, cleans up after it: a creation
    /// that was never completed goes, any other sandbox is `failed`. Succeeds for what is no orphan,
    /// unknown or unreadable, and for what somebody else is at.
    pub(crate) async fn recover_orphan(&self, id: &SandboxId) -> Result<(), Error> {
        match self.host.store.peek(id) {
            Ok(summary) if self.looks_orphaned(&summary) => {}
            Ok(_) | Err(_) => return Ok(()),
        }
        let lease = self
            .lease_within(id, LeaseMode::Exclusive, "recover", Duration::ZERO)
            .await;
        let lease = match lease {
            Ok(lease) => lease,
            // Somebody is at it, or was faster.
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::NotFound) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match self.is_orphan(lease.record()) {
            true => self.recover_leased(lease).await.map(drop),
            false => Ok(()),
        }
    }

    /// Cleans up after an orphan; `None` when it was a creation, which is gone then.
    pub(crate) async fn recover_leased(&self, mut lease: Lease) -> Result<Option<Lease>, Error> {
        let deadlines = self.deadlines();
        let id = lease.id().clone();
        let creating = lease.record().state == SandboxState::Creating;
        if creating {
            self.give_up_creation(&id, deadlines).await;
        }
        if creating && lease.record().boots == 0 {
            let containers = lease.record().containers.clone();
            self.undo(lease, Extent::Delete, deadlines).await?;
            Self::run_poststop(&id, containers).await;
            return Ok(None);
        }
        tracing::warn!(sandbox = %id, "cleaning up after a supervisor that died");
        let pending = intent::pending(&lease.ledger(), lease.record().settled)?.intents;
        self.undo_stop(&lease, deadlines).await?;
        let stopping = pending.iter().any(|one| one.intent == Intent::Stop);
        let mut record = match stopping {
            true => end::stopped(lease.record(), &Exits::new()),
            false => end::failed(lease.record(), &Exits::new(), why(lease.record())),
        };
        if let Some(last) = pending.last() {
            record.settled = last.number;
        }
        Self::commit(&mut lease, record)?;
        Ok(Some(lease))
    }

    /// Lets the supervisor of a creation that nobody waits for end by itself, which is quicker than
    /// killing it and undoing after it. Best effort: what it leaves is undone by the caller.
    async fn give_up_creation(&self, id: &SandboxId, deadlines: Deadlines) {
        let directory = self.host.layout.machine(id);
        match ask_to_stop(&directory, true, deadlines.stop_machine).await {
            Ok(answered) => tracing::info!(sandbox = %id, ?answered, "creation is given up"),
            Err(error) => tracing::warn!(sandbox = %id, %error, "the supervisor is killed"),
        }
    }

    /// Undoes all but what is kept of a stopped sandbox, and strikes it out of the ledger.
    pub(crate) async fn undo_stop(&self, lease: &Lease, deadlines: Deadlines) -> Result<(), Error> {
        let ledger = lease.ledger();
        let undone = self
            .undo_entries(ledger.clone(), Extent::Stop, deadlines.delete)
            .await?;
        if !lease.record().is_of_this_boot() {
            self.clear_after_reboot(lease.id().clone()).await?;
        }
        undo::forget_stopped(&ledger, undone)
    }

    /// Undoes everything and removes the record.
    pub(crate) async fn undo(
        &self,
        lease: Lease,
        extent: Extent,
        deadlines: Deadlines,
    ) -> Result<(), Error> {
        self.undo_entries(lease.ledger(), extent, deadlines.delete)
            .await?;
        let id = lease.id().clone();
        // What is left of it may be of an earlier boot of the host, whose ledger is void.
        self.clear_directories(id.clone()).await?;
        lease
            .remove()
            .during(|| format!("cannot remove the record of sandbox {id}"))
    }

    /// Removes a sandbox whose record cannot be read: its ledger says what to undo.
    pub(crate) async fn salvage(&self, id: &SandboxId, deadlines: Deadlines) -> Result<(), Error> {
        let store = Arc::clone(&self.host.store);
        let wanted = id.clone();
        let salvage = blocking(move || {
            let operation = Operation::DeleteSandbox.name();
            store
                .salvage(&wanted, operation, deadlines.lock)
                .during(|| format!("cannot delete sandbox {wanted}"))
        })
        .await?;
        // A supervisor that is a task is in no ledger, and would write while everything is removed.
        let directory = self.host.layout.machine(id);
        if let Err(error) = ask_to_stop(&directory, true, deadlines.stop_machine).await {
            tracing::warn!(sandbox = %id, %error, "the supervisor is killed");
        }
        self.undo_entries(salvage.ledger(), Extent::Delete, deadlines.delete)
            .await?;
        self.clear_directories(id.clone()).await?;
        salvage
            .remove()
            .during(|| format!("cannot remove what is left of sandbox {id}"))
    }

    pub(crate) async fn undo_entries(
        &self,
        ledger: Ledger,
        extent: Extent,
        deadline: Duration,
    ) -> Result<Vec<UndoEntry>, Error> {
        let backend = Arc::clone(&self.host.backend);
        let entries = undo::read(&ledger)?;
        // In place: another thread would cost more.
        if let Some(undone) = undo::undo_brief(&entries, backend.as_ref(), extent) {
            return undone.map(|()| entries);
        }
        blocking(move || undo::undo_all(&ledger, backend.as_ref(), Undoer::Other, extent, deadline))
            .await
    }

    /// Takes back the directories of a sandbox that was up before the host was booted again. Its
    /// processes, mounts and links went with that boot, and the ledger with them.
    async fn clear_after_reboot(&self, id: SandboxId) -> Result<(), Error> {
        let layout = self.host.layout.clone();
        blocking(move || undo::clear_directories(&layout, &id, Extent::Stop)).await
    }

    async fn clear_directories(&self, id: SandboxId) -> Result<(), Error> {
        let layout = self.host.layout.clone();
        if !undo::has_directories(&layout, &id) {
            return Ok(());
        }
        blocking(move || undo::clear_directories(&layout, &id, Extent::Delete)).await
    }

    /// Strikes out of a ledger what tells of a container's directories, which were taken back.
    pub(crate) fn forget_shared(
        &self,
        ledger: &Ledger,
        container: &ContainerId,
    ) -> Result<(), Error> {
        let failed = || "cannot shorten the ledger of the sandbox".to_owned();
        let mut entries = ledger.entries().during(failed)?.entries;
        entries.retain(|entry| virtcontainers_share::is_of_container(entry, container));
        match entries.is_empty() {
            true => Ok(()),
            false => ledger.forget(&entries).during(failed),
        }
    }
}

/// Enters the machine's directory in the ledger, then makes it.
pub(crate) fn make_machine_directory(lease: &Lease, directory: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    Effect::MachineDirectory(directory.to_owned()).enter(&lease.ledger())?;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| {
        let message = format!("cannot make the directory {}", directory.display());
        Error::new(ErrorKind::Internal, message).because(error)
    })
}

fn why(record: &Record) -> &'static str {
    match (record.is_of_this_boot(), record.state) {
        (false, _) => "the host was booted again",
        (true, SandboxState::Creating) => "its boot was interrupted",
        (true, _) => "its supervisor died, and its machine with it",
    }
}
