//! Ending a sandbox's machine, and removing the sandbox.

use std::time::Duration;

use tracing::instrument;
use virtcontainers_process::Identity;
use virtcontainers_store::{Lease, LeaseMode, Record};
use virtcontainers_types::{
    Command, Decision, Input, Operation, ProcessIdentity, SandboxId, SandboxState, SandboxStatus,
    decide,
};

use super::allow;
use crate::end;
use crate::error::{Error, ErrorKind};
use crate::intent::{self, Intent};
use crate::orphan;
use crate::runtime::Runtime;
use crate::supervisor::client::ask_to_stop;
use crate::supervisor::control::Exits;
use crate::undo::Extent;

impl Runtime {
    /// Ends the containers of a sandbox and its machine, and undoes all that was made for it; the
    /// record stays. With `force` the guest is not asked.
    ///
    /// Succeeds on one that is stopped or failed. Errors: `NotFound`, `Timeout`, `Internal` naming
    /// what could not be undone. Dropping the future leaves a stop that the next operation carries
    /// on.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id, force))]
    pub async fn stop_sandbox(&self, id: &SandboxId, force: bool) -> Result<SandboxStatus, Error> {
        let operation = Operation::StopSandbox;
        let mut lease = self.recovered(operation.name(), id).await?;
        allow(operation, lease.record(), None)?;
        self.stop_leased(&mut lease, force).await?;
        Ok(lease.record().status())
    }

    async fn stop_leased(&self, lease: &mut Lease, force: bool) -> Result<(), Error> {
        let record = lease.record();
        match decide(Some(record.state), Input::Command(Command::Stop)) {
            Decision::Become(_) => {}
            Decision::Stay | Decision::StopFirst | Decision::Remove | Decision::Refuse { .. } => {
                if Self::has_remains(lease)? {
                    self.undo_stop(lease, self.deadlines()).await?;
                }
                return Ok(());
            }
        }
        let settled = intent::enter(&lease.ledger(), record, [Intent::Stop])?;
        self.take_down(lease, settled, force).await
    }

    /// Ends the machine of a sandbox, undoes its effects, and stores that.
    pub(crate) async fn take_down(
        &self,
        lease: &mut Lease,
        settled: u64,
        force: bool,
    ) -> Result<(), Error> {
        let exits = self.end_supervisor(lease.record(), force).await;
        let deadlines = self.deadlines();
        let undone = self.undo_stop(lease, deadlines).await;
        let mut record = match &undone {
            Ok(()) => end::stopped(lease.record(), &exits),
            Err(error) => end::stop_failed(lease.record(), &exits, &error.to_string()),
        };
        record.settled = settled;
        Self::commit(lease, record)?;
        undone
    }

    /// Cleans up after a machine that has ended, which its supervisor may not have come to yet, and
    /// stores that the sandbox is `failed`.
    pub(crate) async fn take_down_lost(
        &self,
        lease: &mut Lease,
        settled: u64,
        why: &Error,
    ) -> Result<(), Error> {
        self.end_supervisor(lease.record(), true).await;
        let undone = self.undo_stop(lease, self.deadlines()).await;
        let mut record = end::failed(
            lease.record(),
            &Exits::new(),
            &format!("it was lost: {why}"),
        );
        record.settled = settled;
        Self::commit(lease, record)?;
        undone
    }

    /// Has the supervisor of a leased sandbox end it, and waits until its process is gone. Gives how
    /// containers ended. One that does not listen is killed by who undoes its effects.
    async fn end_supervisor(&self, record: &Record, force: bool) -> Exits {
        let deadlines = self.deadlines();
        let directory = self.host.layout.machine(record.id());
        // A guest whose processors are halted cannot be asked.
        let force = force || record.state == SandboxState::Paused;
        let guest = if force {
            Duration::ZERO
        } else {
            deadlines.stop_guest
        };
        let patience = guest + deadlines.stop_machine;
        let exits = match ask_to_stop(&directory, force, patience).await {
            Ok(exits) => exits.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the supervisor is killed");
                return Exits::new();
            }
        };
        // It has struck itself out of the ledger, where others would find it.
        if let Some(ProcessIdentity { pid, start_time }) = record.supervisor {
            let identity = Identity { pid, start_time };
            if orphan::ourselves() != Some(identity)
                && let Err(error) = identity.wait_gone(deadlines.stop_machine).await
            {
                tracing::warn!(%error, "the supervisor is slow to end");
            }
        }
        exits
    }

    /// Removes a sandbox. One that is `ready` or `paused` is stopped first; with `force` any is, and
    /// one whose record cannot be read is cleaned up as its ledger tells.
    ///
    /// Errors: `NotFound`; `WrongState` without force while it runs; otherwise as
    /// [`stop_sandbox`](Self::stop_sandbox). Dropping the future leaves a sandbox that can be
    /// deleted again.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id, force))]
    pub async fn delete_sandbox(&self, id: &SandboxId, force: bool) -> Result<(), Error> {
        let operation = Operation::DeleteSandbox;
        let deadlines = self.deadlines();
        let lease = self.lease(id, LeaseMode::Exclusive, operation.name()).await;
        let lease = match lease {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible) => {
                return self.salvage(id, deadlines).await;
            }
            lease => lease?,
        };
        let lease = match self.is_orphan(lease.record()) {
            true => self.recover_leased(lease).await?,
            false => Some(lease),
        };
        // A creation that was never completed is gone now.
        let Some(mut lease) = lease else {
            return Ok(());
        };
        if !force {
            allow(operation, lease.record(), None)?;
        }
        self.stop_leased(&mut lease, force).await?;
        let containers = lease.record().containers.clone();
        self.undo(lease, Extent::Delete, deadlines)
            .await
            .map_err(|error| error.of(id))?;
        Self::run_poststop(id, containers).await;
        Ok(())
    }
}
