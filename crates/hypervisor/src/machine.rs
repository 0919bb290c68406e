//! A machine that runs.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use virtcontainers_types::{AgentEndpoint, PciPath, ProcessIdentity};

use crate::{Error, ErrorKind, NetworkDeviceHandoff, NetworkDevicePlan};

/// What a backend says that does not plug network devices.
const NO_HOTPLUG: &str = "this hypervisor does not change the network devices of a running machine: have the interface \
     in the namespace when the sandbox is created";

/// A virtual machine whose CPUs have started.
#[async_trait]
pub trait Machine: Send + Sync + Debug {
    /// Halts the CPUs. Safe to drop; the command may still take effect.
    ///
    /// Errors: `Gone`, `Timeout`, `WrongState` when it is halted already.
    async fn pause(&self) -> Result<(), Error>;

    /// Lets the CPUs go on. Errors as [`pause`](Self::pause).
    async fn resume(&self) -> Result<(), Error>;

    /// Asks the guest to power down (an ACPI button); returns when asked, not when it is done.
    async fn power_down(&self) -> Result<(), Error>;

    /// Ends the machine: asks the monitor to quit, kills it when the deadline passes, ends the
    /// helpers, and returns when all of them are gone. Succeeds on a machine that is gone.
    ///
    /// Dropping the future leaves an ending machine; call again.
    async fn shutdown(&self, deadline: Duration) -> Result<(), Error>;

    /// Kills the monitor and its helpers at once. Succeeds on a machine that is gone.
    fn kill(&self) -> Result<(), Error>;

    /// Gives the running machine one more network device. Gives where the guest finds it, if its
    /// machine has a PCI bus.
    ///
    /// Every descriptor of `handoff` is the monitor's then, or closed. When the future is dropped
    /// the device may be there or not: [`remove_network_device`](Self::remove_network_device) then.
    ///
    /// Errors: `Invalid` for a plan or a handoff that cannot be; `AlreadyExists` for a name that a
    /// device has; `Unsupported` where [`network_hotplug`](virtcontainers_types::Capabilities) is
    /// not declared, and for a carrier that only the start can have; `Invalid` when there is no
    /// room; `Gone`, `Timeout`. Nothing of the device is left on an error.
    async fn add_network_device(
        &self,
        device: &NetworkDevicePlan,
        handoff: NetworkDeviceHandoff,
    ) -> Result<Option<PciPath>, Error> {
        let _ = (device, handoff);
        Err(Error::new(ErrorKind::Unsupported, NO_HOTPLUG))
    }

    /// Takes a network device from the running machine, and returns when the guest has let it go.
    /// Succeeds when there is none of this name, also when half of it is there. Safe to drop and to
    /// repeat.
    ///
    /// Errors: `Timeout` when the guest does not let it go, which it may do later all the same: call
    /// again; `Unsupported`, also for a carrier that is the machine's to its end; `Gone`.
    async fn remove_network_device(&self, id: &str) -> Result<(), Error> {
        let _ = id;
        Err(Error::new(ErrorKind::Unsupported, NO_HOTPLUG))
    }

    /// A new subscription to what the monitor reports from now on. Only the process that launched
    /// the machine has events; elsewhere `Unsupported`.
    fn events(&self) -> Result<MachineEvents, Error>;

    /// Where the agent answers.
    fn agent_endpoint(&self) -> AgentEndpoint;

    /// The monitor first, then its helpers.
    fn processes(&self) -> Vec<ProcessIdentity>;

    /// What another process needs to adopt this machine.
    fn save(&self) -> SavedMachine;

    /// Resolves when the monitor or a helper without which the guest cannot go on ends. Several
    /// callers may wait; all get the same answer, and later callers get it at once.
    async fn wait(&self) -> MachineExit;
}

/// What another process needs to adopt a machine; opaque to all but the backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedMachine {
    /// The format's version.
    pub version: u32,
    /// The backend's own data.
    pub data: serde_json::Value,
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineExit {
    /// The program that ended: the monitor, or the helper that took the machine with it.
    pub program: String,
    /// How it ended in words: `exit status 1`, `killed by signal 9`.
    pub reason: String,
    /// The last lines that it wrote to its standard error.
    pub stderr: String,
    /// The guest or the host asked for it, as far as the monitor said.
    pub expected: bool,
}

impl std::fmt::Display for MachineExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ended: {}", self.program, self.reason)
    }
}

/// Something that the monitor reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineEvent {
    /// The CPUs were halted.
    Paused,
    /// The CPUs go on.
    Resumed,
    /// The guest shut down or reset.
    GuestShutdown,
    /// The guest's kernel reported a panic.
    GuestPanicked,
}

/// A subscription to a machine's events; the stream ends with the machine.
pub struct MachineEvents(Box<dyn FnMut() -> NextEvent + Send>);

type NextEvent = std::pin::Pin<Box<dyn Future<Output = Option<MachineEvent>> + Send>>;

impl MachineEvents {
    /// Wraps a backend's source of events.
    pub fn new(next: impl FnMut() -> NextEvent + Send + 'static) -> Self {
        Self(Box::new(next))
    }

    /// The next event; `None` when the machine is gone. Safe to drop.
    pub async fn next(&mut self) -> Option<MachineEvent> {
        (self.0)().await
    }
}

impl Debug for MachineEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MachineEvents")
    }
}
