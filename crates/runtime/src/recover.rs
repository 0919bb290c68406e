//! Taking sandboxes down, and cleaning up after operations, supervisors and creators that died.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use virtcontainers_agent::Agent;
use virtcontainers_hypervisor::SavedMachine;
use virtcontainers_process::Identity;
use virtcontainers_store::{Blob, Lease, LeaseMode, Record, Summary};
use virtcontainers_types::{
    Command, ContainerState, Deadlines, Decision, ExitStatus, Fact, Input, SandboxId, SandboxState,
    decide,
};

use crate::boot;
use crate::error::{Context, Error, ErrorKind};
use crate::runtime::{Runtime, blocking};
use crate::supervisor::ask_to_stop;
use crate::undo::{self, Effect, Extent, Undoer};

impl Runtime {
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
        let store = Arc::clone(&self.host.store);
        let id = id.clone();
        blocking(move || {
            store
                .open(&id, mode, operation, deadline)
                .during(|| format!("cannot {operation} sandbox {id}"))
                .map_err(|error| error.of(&id))
        })
        .await
    }

    /// The lease on a sandbox that is not an orphan.
    pub(crate) async fn open(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &'static str,
    ) -> Result<Lease, Error> {
        self.recover_orphan(id, self.deadlines()).await?;
        self.lease(id, mode, operation).await
    }

    /// Ends the machine of a sandbox that is `stopping` and undoes its effects.
    pub(crate) async fn take_down(&self, lease: &mut Lease) -> Result<(), Error> {
        let deadlines = self.deadlines();
        let directory = self.host.layout.machine(lease.id());
        let patience = deadlines.stop_guest + deadlines.stop_machine;
        if let Err(error) = ask_to_stop(&directory, patience).await {
            tracing::warn!(%error, "the supervisor is killed");
        }
        let undone = self.undo_stop(lease, deadlines).await;
        let fact = if undone.is_ok() {
            Fact::MachineExited
        } else {
            Fact::StopFailed
        };
        let record = ended(lease.record(), fact, None);
        lease
            .commit(record)
            .during(|| "cannot store the end of the sandbox".to_owned())?;
        undone
    }

    /// If nobody looks after a sandbox that should have somebody, cleans up after it: a creation
    /// that was never completed goes, any other sandbox is `failed`. Succeeds for what is no orphan,
    /// unknown or unreadable.
    pub(crate) async fn recover_orphan(
        &self,
        id: &SandboxId,
        deadlines: Deadlines,
    ) -> Result<(), Error> {
        let store = Arc::clone(&self.host.store);
        let peeked = id.clone();
        let summary = blocking(move || Ok(store.peek(&peeked))).await?;
        match summary {
            Ok(summary) if looks_orphaned(&summary) => {}
            Ok(_) | Err(_) => return Ok(()),
        }
        let mut lease = match self
            .lease_within(id, LeaseMode::Exclusive, "recover", Duration::ZERO)
            .await
        {
            Ok(lease) => lease,
            // Somebody is at it, or was faster.
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::NotFound) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if !is_orphan(lease.record()) {
            return Ok(());
        }
        if lease.record().state == SandboxState::Creating {
            self.give_up_creation(lease.id(), deadlines).await;
            return self.undo(lease, Extent::Delete, deadlines).await;
        }
        tracing::warn!(sandbox = %id, "cleaning up after a supervisor that died");
        self.undo_stop(&lease, deadlines).await?;
        let why = "its supervisor died, and its machine with it";
        let record = ended(lease.record(), Fact::MachineExited, Some(why));
        lease
            .commit(record)
            .during(|| format!("cannot store sandbox {id}"))
    }

    /// Lets the supervisor of a creation that nobody waits for end by itself, which is quicker than
    /// killing it and undoing after it. Best effort: what it leaves is undone by the caller.
    async fn give_up_creation(&self, id: &SandboxId, deadlines: Deadlines) {
        let directory = self.host.layout.machine(id);
        match ask_to_stop(&directory, deadlines.stop_machine).await {
            Ok(answered) => tracing::info!(sandbox = %id, answered, "creation is given up"),
            Err(error) => tracing::warn!(sandbox = %id, %error, "the supervisor is killed"),
        }
    }

    async fn undo_stop(&self, lease: &Lease, deadlines: Deadlines) -> Result<(), Error> {
        self.undo_entries(lease.ledger(), Extent::Stop, deadlines)
            .await?;
        undo::forget_stopped(&lease.ledger())
    }

    /// Undoes everything and removes the record.
    pub(crate) async fn undo(
        &self,
        lease: Lease,
        extent: Extent,
        deadlines: Deadlines,
    ) -> Result<(), Error> {
        self.undo_entries(lease.ledger(), extent, deadlines).await?;
        let id = lease.id().clone();
        lease
            .remove()
            .during(|| format!("cannot remove the record of sandbox {id}"))
    }

    /// Removes a sandbox whose record cannot be read: its ledger says what to undo.
    pub(crate) async fn salvage(&self, id: &SandboxId, deadlines: Deadlines) -> Result<(), Error> {
        let store = Arc::clone(&self.host.store);
        let wanted = id.clone();
        let salvage = blocking(move || {
            store
                .salvage(&wanted, "delete", deadlines.lock)
                .during(|| format!("cannot delete sandbox {wanted}"))
        })
        .await?;
        self.undo_entries(salvage.ledger(), Extent::Delete, deadlines)
            .await?;
        salvage
            .remove()
            .during(|| format!("cannot remove what is left of sandbox {id}"))
    }

    async fn undo_entries(
        &self,
        ledger: virtcontainers_store::Ledger,
        extent: Extent,
        deadlines: Deadlines,
    ) -> Result<(), Error> {
        let backend = Arc::clone(&self.host.backend);
        blocking(move || {
            undo::undo_all(
                &ledger,
                backend.as_ref(),
                Undoer::Other,
                extent,
                deadlines.delete,
            )
        })
        .await
    }

    /// Connects to the agent of a sandbox that is up.
    pub(crate) async fn connect_agent(&self, record: &Record) -> Result<Agent, Error> {
        let Some(Blob { version, data }) = record.machine.clone() else {
            let message = format!("sandbox {} has no machine to talk to", record.id());
            return Err(Error::new(ErrorKind::WrongState, message));
        };
        let saved = SavedMachine { version, data };
        let machine = self
            .host
            .backend
            .adopt(&saved)
            .await
            .during(|| format!("cannot reach the machine of sandbox {}", record.id()))?;
        boot::reconnect(&machine.agent_endpoint(), self.deadlines()).await
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

fn looks_orphaned(summary: &Summary) -> bool {
    summary.state.is_live()
        && (!summary.is_of_this_boot() || !is_alive(summary.supervisor.map(Into::into)))
}

fn is_orphan(record: &Record) -> bool {
    record.state.is_live()
        && (!record.is_of_this_boot() || !is_alive(record.supervisor.map(Into::into)))
}

struct Supervisor(Identity);

impl From<virtcontainers_types::ProcessIdentity> for Supervisor {
    fn from(identity: virtcontainers_types::ProcessIdentity) -> Self {
        Self(Identity {
            pid: identity.pid,
            start_time: identity.start_time,
        })
    }
}

fn is_alive(supervisor: Option<Supervisor>) -> bool {
    supervisor.is_some_and(|Supervisor(identity)| identity.is_alive())
}

/// The record of a sandbox whose machine is gone.
fn ended(record: &Record, fact: Fact, why: Option<&str>) -> Record {
    let mut record = record.clone();
    if let Decision::Become(state) = decide(Some(record.state), Input::Fact(fact)) {
        record.state = state;
    }
    record.supervisor = None;
    record.machine = None;
    if let Some(why) = why {
        record.failure = Some(why.to_owned());
    }
    for container in &mut record.containers {
        if container.state != ContainerState::Stopped {
            container.state = ContainerState::Stopped;
            container.exit_status = Some(ExitStatus::LOST);
        }
    }
    record
}

/// The refusal of a command, with the states that would allow it.
pub(crate) fn refused(
    command: Command,
    id: &SandboxId,
    state: SandboxState,
    wanted: &[SandboxState],
) -> Error {
    let word = match command {
        Command::Create => "create",
        Command::Start => "start",
        Command::Pause => "pause",
        Command::Resume => "resume",
        Command::Stop => "stop",
        Command::Delete => "delete",
    };
    let wanted: Vec<&str> = wanted.iter().map(|state| state.as_str()).collect();
    let advice = match (command, wanted.is_empty()) {
        (_, true) => String::new(),
        (Command::Delete, false) => {
            format!(": it must be {}, or use force", wanted.join(" or "))
        }
        (_, false) => format!(": it must be {}", wanted.join(" or ")),
    };
    let message = format!("cannot {word} sandbox {id}: it is {state}{advice}");
    Error::new(ErrorKind::WrongState, message).of(id)
}
