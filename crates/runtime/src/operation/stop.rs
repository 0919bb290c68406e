//! Ending a sandbox's machine, and removing the sandbox.

use tracing::instrument;
use virtcontainers_store::{Lease, LeaseMode};
use virtcontainers_types::{Command, Decision, Input, Operation, SandboxId, SandboxStatus, decide};

use super::allow;
use crate::end;
use crate::error::{Error, ErrorKind};
use crate::intent::{self, Intent};
use crate::runtime::Runtime;
use crate::supervisor::client::ask_to_stop;
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
        let deadlines = self.deadlines();
        let directory = self.host.layout.machine(lease.id());
        // A guest whose processors are halted cannot be asked.
        let force = force || lease.record().state == virtcontainers_types::SandboxState::Paused;
        let guest = if force {
            Default::default()
        } else {
            deadlines.stop_guest
        };
        let patience = guest + deadlines.stop_machine;
        let exits = match ask_to_stop(&directory, force, patience).await {
            Ok(exits) => exits.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the supervisor is killed");
                Default::default()
            }
        };
        let undone = self.undo_stop(lease, deadlines).await;
        let mut record = match &undone {
            Ok(()) => end::stopped(lease.record(), &exits),
            Err(error) => end::stop_failed(lease.record(), &exits, &error.to_string()),
        };
        record.settled = settled;
        Self::commit(lease, record)?;
        undone
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
