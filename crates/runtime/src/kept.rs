//! The way to a sandbox's machine and guest: by a new connection, or by the one that a handle
//! keeps for as long as the machine is the same.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use virtcontainers_hypervisor::{Machine, SavedMachine};
use virtcontainers_store::{Blob, Record};
use virtcontainers_types::SandboxId;

use crate::Agent;
use crate::boot;
use crate::error::{Context as _, Error, ErrorKind};
use crate::runtime::Runtime;

/// A connection that is kept between operations, and the machine that it leads to.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<(Blob, Agent)>>);

impl Kept {
    fn get(&self, machine: &Blob) -> Option<Agent> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (led_to, agent) = kept.as_ref()?;
        (led_to == machine && !is_closed(agent)).then(|| Arc::clone(agent))
    }

    fn put(&self, machine: Blob, agent: Agent) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((machine, agent));
    }

    /// Closes the connection, when nobody else uses it.
    pub(crate) fn release(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = None;
    }
}

/// Whether the connection has ended, without waiting.
fn is_closed(agent: &Agent) -> bool {
    let closed = pin!(agent.closed());
    let mut context = Context::from_waker(Waker::noop());
    closed.poll(&mut context).is_ready()
}

impl Runtime {
    /// Takes over the machine of a sandbox that is up.
    pub(crate) async fn machine(&self, record: &Record) -> Result<Arc<dyn Machine>, Error> {
        self.adopt(record.id(), record.machine.as_ref()).await
    }

    pub(crate) async fn adopt(
        &self,
        id: &SandboxId,
        machine: Option<&Blob>,
    ) -> Result<Arc<dyn Machine>, Error> {
        let Some(Blob { version, data }) = machine.cloned() else {
            let message = format!("sandbox {id} has no machine to talk to");
            return Err(Error::new(ErrorKind::Gone, message).of(id));
        };
        let saved = SavedMachine { version, data };
        let adopted = self.host.backend.adopt(&saved).await;
        adopted
            .during(|| format!("cannot reach the machine of sandbox {id}"))
            .map_err(|error| error.of(id))
    }

    /// Connects to the agent of a sandbox that is up.
    pub(crate) async fn connect_agent(&self, record: &Record) -> Result<Agent, Error> {
        self.connect_to(record.id(), record.machine.as_ref()).await
    }

    pub(crate) async fn connect_to(
        &self,
        id: &SandboxId,
        machine: Option<&Blob>,
    ) -> Result<Agent, Error> {
        if let (Some(kept), Some(machine)) = (&self.kept, machine)
            && let Some(agent) = kept.get(machine)
        {
            return Ok(agent);
        }
        let adopted = self.adopt(id, machine).await?;
        let agents = self.host.agents.as_ref();
        let agent = boot::reconnect(agents, &adopted.agent_endpoint(), self.deadlines())
            .await
            .map_err(|error| error.of(id))?;
        if let (Some(kept), Some(machine)) = (&self.kept, machine) {
            kept.put(machine.clone(), Arc::clone(&agent));
        }
        Ok(agent)
    }
}
