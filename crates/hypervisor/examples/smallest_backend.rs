//! The smallest backend that keeps the port's shape: it can make no machine, and says so before it
//! does anything. `cargo run -p virtcontainers-hypervisor --example smallest_backend`
//!
//! What a backend has to promise beyond its types is in the conformance suite.

use std::sync::Arc;

use async_trait::async_trait;
use virtcontainers_hypervisor::{
    Backend, Error, ErrorKind, Handoffs, Launched, Machine, MachinePlan, SavedMachine,
};
use virtcontainers_types::{AgentEndpoint, Capabilities, UndoEntry, UndoSink};

#[derive(Debug)]
struct Nothing;

fn unsupported(operation: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("cannot {operation}: this backend makes no machines, configure another"),
    )
}

#[async_trait]
impl Backend for Nothing {
    fn name(&self) -> &'static str {
        "none"
    }

    fn capabilities(&self) -> Capabilities {
        // Nothing is declared, so that nothing is asked for.
        Capabilities::default()
    }

    fn is_accelerated(&self) -> bool {
        false
    }

    fn check(&self, _plan: &MachinePlan) -> Result<(), Error> {
        Err(unsupported("make a machine"))
    }

    fn agent_endpoint(&self, _plan: &MachinePlan) -> Result<AgentEndpoint, Error> {
        Err(unsupported("reach an agent"))
    }

    async fn launch(
        &self,
        plan: MachinePlan,
        _handoffs: Handoffs,
        _undo: &dyn UndoSink,
    ) -> Result<Box<dyn Launched>, Error> {
        // A backend that could go on would enter each effect in the sink before it happens.
        self.check(&plan)?;
        Err(unsupported("launch a machine"))
    }

    async fn adopt(&self, _saved: &SavedMachine) -> Result<Arc<dyn Machine>, Error> {
        Err(unsupported("take over a machine"))
    }

    fn undo(&self, _entry: &UndoEntry) -> Result<(), Error> {
        // It has no effects, so there is nothing to take back, once or twice.
        Ok(())
    }
}

fn main() {
    let backend: Arc<dyn Backend> = Arc::new(Nothing);
    println!("{}: {:?}", backend.name(), backend.capabilities());
    println!("{}", unsupported("make a machine"));
}
