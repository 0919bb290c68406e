//! Halting a sandbox's processors, and letting them go on.

use tracing::instrument;
use virtcontainers_store::Lease;
use virtcontainers_types::{Command, Decision, Input, Operation, SandboxId, SandboxStatus, decide};

use super::query::shown;
use crate::error::{Context, Error, ErrorKind};
use crate::intent::{self, Intent};
use crate::runtime::Runtime;

impl Runtime {
    /// Halts the processors of a running sandbox's machine: nothing in it goes on, and its guest
    /// answers nothing.
    ///
    /// Errors: `NotFound`; `WrongState`; `Unsupported` when the backend cannot; `Gone`, `Timeout`.
    /// Dropping the future leaves a pause that the next operation takes back.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn pause_sandbox(&self, id: &SandboxId) -> Result<SandboxStatus, Error> {
        if !self.host.backend.capabilities().pause {
            let backend = self.host.backend.name();
            let message = format!("{backend} cannot pause a machine");
            return Err(Error::new(ErrorKind::Unsupported, message).of(id));
        }
        let mut lease = self.exclusive(Operation::PauseSandbox, id, None).await?;
        let settled = intent::enter(&lease.ledger(), lease.record(), [Intent::Pause])?;
        let machine = self.machine(lease.record()).await?;
        machine
            .pause()
            .await
            .during(|| format!("cannot pause sandbox {id}"))?;
        turned(&mut lease, Command::Pause, settled)
    }

    /// Lets the processors of a paused sandbox go on. Errors and dropping: as
    /// [`pause_sandbox`](Self::pause_sandbox).
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn resume_sandbox(&self, id: &SandboxId) -> Result<SandboxStatus, Error> {
        let mut lease = self.exclusive(Operation::ResumeSandbox, id, None).await?;
        let settled = intent::enter(&lease.ledger(), lease.record(), [Intent::Resume])?;
        let machine = self.machine(lease.record()).await?;
        machine
            .resume()
            .await
            .during(|| format!("cannot resume sandbox {id}"))?;
        turned(&mut lease, Command::Resume, settled)
    }
}

fn turned(lease: &mut Lease, command: Command, settled: u64) -> Result<SandboxStatus, Error> {
    let mut record = lease.record().clone();
    if let Decision::Become(state) = decide(Some(record.state), Input::Command(command)) {
        record.state = state;
    }
    record.settled = settled;
    Runtime::commit(lease, record)?;
    Ok(shown(lease.record().status()))
}
