//! A backend makes machines.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use virtcontainers_types::{AgentEndpoint, Capabilities, UndoEntry, UndoSink};

use crate::{Error, Handoffs, Machine, MachineExit, MachinePlan, SavedMachine};

/// A virtual machine monitor.
#[async_trait]
pub trait Backend: Send + Sync + Debug {
    /// The name that is stored with a sandbox and written in configurations; stable.
    fn name(&self) -> &'static str;

    /// What this backend can do on this host.
    fn capabilities(&self) -> Capabilities;

    /// Whether guests run on the processor itself; deadlines follow from it.
    fn is_accelerated(&self) -> bool;

    /// Refuses every plan whose failure can be foreseen (missing program, unreadable kernel, too
    /// little or too much memory), without any effect.
    ///
    /// Errors: `Invalid`, `NotFound`, `Unsupported`, `Denied`.
    fn check(&self, plan: &MachinePlan) -> Result<(), Error>;

    /// Where the agent will answer, known before the launch so that the host can listen first.
    fn agent_endpoint(&self, plan: &MachinePlan) -> Result<AgentEndpoint, Error>;

    /// Starts the monitor and its helpers with the CPUs held. Every effect is entered in `undo`
    /// before it happens.
    ///
    /// Dropping the future ends and reaps what was started.
    ///
    /// Errors: as [`check`](Self::check); `Gone` when the monitor ended, with its last words;
    /// `Timeout`.
    async fn launch(
        &self,
        plan: MachinePlan,
        handoffs: Handoffs,
        undo: &dyn UndoSink,
    ) -> Result<Box<dyn Launched>, Error>;

    /// Takes over a machine that another process launched; `Gone` when it does not live any more.
    /// Dropping the future changes nothing.
    async fn adopt(&self, saved: &SavedMachine) -> Result<Arc<dyn Machine>, Error>;

    /// Undoes an effect that was entered with this backend's name as owner. Blocking; bounded;
    /// safe whether or not the effect happened, and safe twice.
    fn undo(&self, entry: &UndoEntry) -> Result<(), Error>;
}

/// A machine whose CPUs have not started. Dropping it ends it.
#[async_trait]
pub trait Launched: Send + Sync + Debug {
    /// Lets the CPUs run.
    ///
    /// Errors: `Gone` when the monitor ended, `Timeout`. The machine is ended on an error and when
    /// the future is dropped.
    async fn start(self: Box<Self>) -> Result<Arc<dyn Machine>, Error>;

    /// Resolves when the monitor or one of its helpers ends.
    async fn exited(&self) -> MachineExit;
}
