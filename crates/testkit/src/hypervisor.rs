//! A hypervisor without virtual machines: it keeps the state of its machines and enforces the order
//! of calls, so that the layers above can be tested without one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::watch;
use virtcontainers_hypervisor::{
    Backend, Error, ErrorKind, Handoffs, Launched, Machine, MachineEvents, MachineExit,
    MachinePlan, SavedMachine,
};
use virtcontainers_types::{
    AgentEndpoint, Capabilities, ProcessIdentity, SandboxId, UndoEntry, UndoSink,
};

/// What a machine of the fake is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Launched, its CPUs held.
    Held,
    /// Its CPUs run.
    Running,
    /// Its CPUs are halted.
    Paused,
    /// It has ended.
    Ended,
}

/// A backend whose only machine is a value. Its agent answers on a unix socket that the test
/// serves.
#[derive(Debug, Clone)]
pub struct FakeBackend {
    agent: PathBuf,
    machines: Arc<Mutex<Vec<Arc<FakeMachine>>>>,
}

impl FakeBackend {
    /// A backend whose guests have their agent on this unix socket.
    pub fn new(agent: impl Into<PathBuf>) -> Self {
        Self {
            agent: agent.into(),
            machines: Arc::default(),
        }
    }

    /// The machine that was made for a sandbox last.
    pub fn machine(&self, sandbox: &SandboxId) -> Option<Arc<FakeMachine>> {
        let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines
            .iter()
            .rev()
            .find(|machine| machine.id == *sandbox)
            .cloned()
    }
}

/// A machine that is a value.
#[derive(Debug)]
pub struct FakeMachine {
    id: SandboxId,
    agent: PathBuf,
    power: watch::Sender<Power>,
}

impl FakeMachine {
    /// What it is doing.
    pub fn power(&self) -> Power {
        *self.power.borrow()
    }

    /// Ends it, as a crash would.
    pub fn crash(&self) {
        self.power.send_replace(Power::Ended);
    }

    fn turn(&self, from: Power, to: Power) -> Result<(), Error> {
        let mut found = Power::Ended;
        self.power.send_if_modified(|power| {
            found = *power;
            let fits = *power == from;
            if fits {
                *power = to;
            }
            fits
        });
        match found {
            Power::Ended => Err(Error::new(ErrorKind::Gone, "the machine has ended")),
            found if found == from => Ok(()),
            found => {
                let message = format!("the machine is {found:?}, not {from:?}");
                Err(Error::new(ErrorKind::WrongState, message))
            }
        }
    }

    async fn ended(&self) -> MachineExit {
        let mut power = self.power.subscribe();
        // The sender lives as long as the machine.
        power
            .wait_for(|power| *power == Power::Ended)
            .await
            .map(drop)
            .unwrap_or_default();
        MachineExit {
            program: "fake".to_owned(),
            reason: "it ended".to_owned(),
            stderr: String::new(),
            expected: false,
        }
    }
}

/// Ends its machine when dropped before the start.
#[derive(Debug)]
struct FakeLaunched(Option<Arc<FakeMachine>>);

impl Drop for FakeLaunched {
    fn drop(&mut self) {
        if let Some(machine) = &self.0 {
            machine.crash();
        }
    }
}

#[async_trait]
impl Backend for FakeBackend {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            filesystem_sharing: true,
            pause: true,
            adopt: true,
            ..Capabilities::default()
        }
    }

    fn is_accelerated(&self) -> bool {
        true
    }

    fn check(&self, _plan: &MachinePlan) -> Result<(), Error> {
        Ok(())
    }

    fn agent_endpoint(&self, _plan: &MachinePlan) -> Result<AgentEndpoint, Error> {
        Ok(AgentEndpoint::Unix {
            path: self.agent.clone(),
        })
    }

    async fn launch(
        &self,
        plan: MachinePlan,
        handoffs: Handoffs,
        _undo: &dyn UndoSink,
    ) -> Result<Box<dyn Launched>, Error> {
        if handoffs.network_namespace.is_none() {
            let message = "a machine needs a network namespace";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let machine = Arc::new(FakeMachine {
            id: plan.id,
            agent: self.agent.clone(),
            power: watch::Sender::new(Power::Held),
        });
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.push(Arc::clone(&machine));
        Ok(Box::new(FakeLaunched(Some(machine))))
    }

    async fn adopt(&self, saved: &SavedMachine) -> Result<Arc<dyn Machine>, Error> {
        let gone = || Error::new(ErrorKind::Gone, "there is no such machine");
        let id = saved.data["id"]
            .as_str()
            .and_then(|id| SandboxId::new(id).ok());
        let machine = self.machine(&id.ok_or_else(gone)?).ok_or_else(gone)?;
        match machine.power() {
            Power::Ended => Err(gone()),
            Power::Held | Power::Running | Power::Paused => Ok(machine),
        }
    }

    fn undo(&self, _entry: &UndoEntry) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl Launched for FakeLaunched {
    async fn start(mut self: Box<Self>) -> Result<Arc<dyn Machine>, Error> {
        let gone = || Error::new(ErrorKind::Gone, "the machine has ended");
        let machine = self.0.clone().ok_or_else(gone)?;
        machine.turn(Power::Held, Power::Running)?;
        self.0 = None;
        Ok(machine)
    }

    async fn exited(&self) -> MachineExit {
        match &self.0 {
            Some(machine) => machine.ended().await,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Machine for FakeMachine {
    async fn pause(&self) -> Result<(), Error> {
        self.turn(Power::Running, Power::Paused)
    }

    async fn resume(&self) -> Result<(), Error> {
        self.turn(Power::Paused, Power::Running)
    }

    async fn power_down(&self) -> Result<(), Error> {
        self.turn(Power::Running, Power::Ended)
    }

    async fn shutdown(&self, _deadline: Duration) -> Result<(), Error> {
        self.crash();
        Ok(())
    }

    fn kill(&self) -> Result<(), Error> {
        self.crash();
        Ok(())
    }

    fn events(&self) -> Result<MachineEvents, Error> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "the fake reports no events",
        ))
    }

    fn agent_endpoint(&self) -> AgentEndpoint {
        AgentEndpoint::Unix {
            path: self.agent.clone(),
        }
    }

    fn processes(&self) -> Vec<ProcessIdentity> {
        Vec::new()
    }

    fn save(&self) -> SavedMachine {
        SavedMachine {
            version: 1,
            data: json!({ "id": self.id }),
        }
    }

    async fn wait(&self) -> MachineExit {
        self.ended().await
    }
}
