//! Machines that are values: fast, and met only by this process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use virtcontainers_hypervisor::{
    Backend, Error, ErrorKind, Handoffs, Launched, Machine, MachineEvent, MachineEvents,
    MachineExit, MachinePlan, NetworkDeviceHandoff, NetworkDevicePlan, SavedMachine,
};
use virtcontainers_types::{
    AgentEndpoint, Capabilities, Mebibytes, PciPath, ProcessIdentity, SandboxId, UndoEntry,
    UndoSink,
};

use super::devices::{self, NetworkDevices};
use super::power::{Power, gone, lacks};

const NAME: &str = "fake";

/// A backend whose only machine is a value. Its agent answers on a unix socket that the test
/// serves. Clones know the same machines.
#[derive(Debug, Clone)]
pub struct FakeBackend {
    /// Absent when each machine has its own.
    agent: Option<PathBuf>,
    capabilities: Capabilities,
    machines: Arc<Mutex<Machines>>,
}

/// The last machine of each sandbox.
type Machines = BTreeMap<SandboxId, Arc<FakeMachine>>;

impl FakeBackend {
    /// A backend whose guests have their agent on this unix socket.
    pub fn new(agent: impl Into<PathBuf>) -> Self {
        Self {
            agent: Some(agent.into()),
            capabilities: Capabilities {
                filesystem_sharing: true,
                pause: true,
                adopt: true,
                network_devices: 4,
                network_hotplug: true,
                ..Capabilities::default()
            },
            machines: Arc::default(),
        }
    }

    /// A backend whose guests have their agents each at `agent.sock` in the machine's directory.
    pub fn with_own_agents() -> Self {
        Self {
            agent: None,
            ..Self::new("")
        }
    }

    /// The same with other abilities; what it lacks, it refuses.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The machine that was made for a sandbox last.
    pub fn machine(&self, sandbox: &SandboxId) -> Option<Arc<FakeMachine>> {
        self.machines().get(sandbox).cloned()
    }

    fn agent(&self, plan: &MachinePlan) -> PathBuf {
        self.agent
            .clone()
            .unwrap_or_else(|| plan.directory.join("agent.sock"))
    }

    fn machines(&self) -> MutexGuard<'_, Machines> {
        lock(&self.machines)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine that is a value.
#[derive(Debug)]
pub struct FakeMachine {
    id: SandboxId,
    agent: PathBuf,
    capabilities: Capabilities,
    power: watch::Sender<Power>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<MachineEvent>>>,
    devices: Mutex<NetworkDevices>,
    /// What carries their frames, as long as they are there.
    carriers: Mutex<Vec<NetworkDeviceHandoff>>,
}

impl FakeMachine {
    /// What it is doing.
    pub fn power(&self) -> Power {
        *self.power.borrow()
    }

    /// Ends it, as a crash would.
    pub fn crash(&self) {
        self.power.send_replace(Power::Ended);
        self.subscribers().clear();
        *lock(&self.devices) = NetworkDevices::default();
        lock(&self.carriers).clear();
    }

    /// The network devices that it has.
    pub fn network_devices(&self) -> Vec<NetworkDevicePlan> {
        lock(&self.devices).list()
    }

    fn subscribers(&self) -> MutexGuard<'_, Vec<mpsc::UnboundedSender<MachineEvent>>> {
        lock(&self.subscribers)
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
        if found != from {
            return Err(found.refuse(from));
        }
        Ok(())
    }

    fn tell(&self, event: MachineEvent) {
        self.subscribers()
            .retain(|subscriber| subscriber.send(event).is_ok());
    }

    async fn ended(&self) -> MachineExit {
        let mut power = self.power.subscribe();
        // The sender lives as long as the machine.
        drop(power.wait_for(|power| *power == Power::Ended).await);
        MachineExit {
            program: NAME.to_owned(),
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

/// A handle on a machine.
#[derive(Debug)]
struct Handle {
    machine: Arc<FakeMachine>,
    /// It stands for the handle of another process.
    adopted: bool,
}

#[async_trait]
impl Backend for FakeBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn is_accelerated(&self) -> bool {
        true
    }

    fn check(&self, plan: &MachinePlan) -> Result<(), Error> {
        check(plan, self.capabilities)
    }

    fn agent_endpoint(&self, plan: &MachinePlan) -> Result<AgentEndpoint, Error> {
        Ok(AgentEndpoint::Unix {
            path: self.agent(plan),
        })
    }

    async fn launch(
        &self,
        plan: MachinePlan,
        handoffs: Handoffs,
        undo: &dyn UndoSink,
    ) -> Result<Box<dyn Launched>, Error> {
        self.check(&plan)?;
        handoffs.check_network_devices(&plan)?;
        let entry = UndoEntry {
            owner: NAME.to_owned(),
            version: 1,
            payload: json!({ "id": plan.id }),
        };
        undo.record(entry).map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot write an undo entry").with_source(error)
        })?;
        let machine = Arc::new(FakeMachine {
            agent: self.agent(&plan),
            id: plan.id.clone(),
            capabilities: self.capabilities,
            power: watch::Sender::new(Power::Held),
            subscribers: Mutex::default(),
            devices: Mutex::new(NetworkDevices::new(&plan.network_devices)),
            carriers: Mutex::new(handoffs.network_devices),
        });
        self.machines().insert(plan.id, Arc::clone(&machine));
        Ok(Box::new(FakeLaunched(Some(machine))))
    }

    async fn adopt(&self, saved: &SavedMachine) -> Result<Arc<dyn Machine>, Error> {
        if !self.capabilities.adopt {
            return Err(lacks("adopt machines"));
        }
        let machine = id_of(&saved.data).and_then(|id| self.machine(&id));
        let machine = machine.filter(|machine| machine.power() != Power::Ended);
        let adopted = true;
        Ok(Arc::new(Handle {
            machine: machine.ok_or_else(gone)?,
            adopted,
        }))
    }

    fn undo(&self, entry: &UndoEntry) -> Result<(), Error> {
        if let Some(machine) = id_of(&entry.payload).and_then(|id| self.machine(&id)) {
            machine.crash();
        }
        Ok(())
    }
}

fn id_of(data: &serde_json::Value) -> Option<SandboxId> {
    data["id"].as_str().and_then(|id| SandboxId::new(id).ok())
}

/// What every fake refuses.
pub(super) fn check(plan: &MachinePlan, capabilities: Capabilities) -> Result<(), Error> {
    if plan.memory < Mebibytes::MINIMUM {
        let message = format!("{} of memory is less than a guest needs", plan.memory);
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if plan.share.is_some() && !capabilities.filesystem_sharing {
        return Err(lacks("share directories"));
    }
    plan.check_network_devices(capabilities.network_devices)
}

#[async_trait]
impl Launched for FakeLaunched {
    async fn start(mut self: Box<Self>) -> Result<Arc<dyn Machine>, Error> {
        let machine = self.0.clone().ok_or_else(gone)?;
        machine.turn(Power::Held, Power::Running)?;
        self.0 = None;
        let adopted = false;
        Ok(Arc::new(Handle { machine, adopted }))
    }

    async fn exited(&self) -> MachineExit {
        match &self.0 {
            Some(machine) => machine.ended().await,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Machine for Handle {
    async fn pause(&self) -> Result<(), Error> {
        if !self.machine.capabilities.pause {
            return Err(lacks("pause"));
        }
        self.machine.turn(Power::Running, Power::Paused)?;
        self.machine.tell(MachineEvent::Paused);
        Ok(())
    }

    async fn resume(&self) -> Result<(), Error> {
        if !self.machine.capabilities.pause {
            return Err(lacks("resume"));
        }
        self.machine.turn(Power::Paused, Power::Running)?;
        self.machine.tell(MachineEvent::Resumed);
        Ok(())
    }

    async fn power_down(&self) -> Result<(), Error> {
        self.machine.turn(Power::Running, Power::Ended)?;
        self.machine.tell(MachineEvent::GuestShutdown);
        self.machine.crash();
        Ok(())
    }

    async fn shutdown(&self, _deadline: Duration) -> Result<(), Error> {
        self.machine.crash();
        Ok(())
    }

    fn kill(&self) -> Result<(), Error> {
        self.machine.crash();
        Ok(())
    }

    async fn add_network_device(
        &self,
        device: &NetworkDevicePlan,
        handoff: NetworkDeviceHandoff,
    ) -> Result<Option<PciPath>, Error> {
        let machine = &self.machine;
        if !machine.capabilities.network_hotplug {
            return Err(devices::unable());
        }
        device.check()?;
        handoff.check(device)?;
        if machine.power() == Power::Ended {
            return Err(gone());
        }
        let most = machine.capabilities.network_devices;
        let path = lock(&machine.devices).add(device, most)?;
        lock(&machine.carriers).push(handoff);
        Ok(Some(path))
    }

    async fn remove_network_device(&self, id: &str) -> Result<(), Error> {
        let machine = &self.machine;
        if !machine.capabilities.network_hotplug {
            return Err(devices::unable());
        }
        let is_there = machine.network_devices().iter().any(|one| one.id == id);
        match machine.power() {
            Power::Ended => return Err(gone()),
            Power::Paused if is_there => return Err(devices::kept(id)),
            Power::Held | Power::Running | Power::Paused => {}
        }
        lock(&machine.devices).remove(id);
        lock(&machine.carriers).retain(|carrier| carrier.id != id);
        Ok(())
    }

    fn events(&self) -> Result<MachineEvents, Error> {
        if self.adopted {
            let message = "only the process that launched a machine has its events";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        if self.machine.power() == Power::Ended {
            return Err(gone());
        }
        self.machine.subscribers().push(sender);
        Ok(subscription(receiver))
    }

    fn agent_endpoint(&self) -> AgentEndpoint {
        AgentEndpoint::Unix {
            path: self.machine.agent.clone(),
        }
    }

    fn processes(&self) -> Vec<ProcessIdentity> {
        Vec::new()
    }

    fn save(&self) -> SavedMachine {
        SavedMachine {
            version: 1,
            data: json!({ "id": self.machine.id }),
        }
    }

    async fn wait(&self) -> MachineExit {
        self.machine.ended().await
    }
}

/// A channel as a subscription.
pub(super) fn subscription(receiver: mpsc::UnboundedReceiver<MachineEvent>) -> MachineEvents {
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    MachineEvents::new(move || {
        let receiver = Arc::clone(&receiver);
        Box::pin(async move { receiver.lock().await.recv().await })
    })
}
