//! Machines that are processes: any process can meet them, and they can be killed.

mod control;
mod directory;
mod launch;
mod machine;
mod undo;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::{
    Backend, Error, ErrorKind, Handoffs, Launched, Machine, MachinePlan, NetworkDevicePlan,
    SavedMachine,
};
use virtcontainers_process::{Search, find_program};
use virtcontainers_types::{AgentEndpoint, Capabilities, SandboxId, UndoEntry, UndoSink};

use super::power::{Power, gone, lacks};
use super::value;
use crate::agent::Flavor;
pub(super) use control::{Request, refusal_line};
use directory::MachineDirectory;
use machine::{ProcessMachine, Saved};

/// The backend's name, and the owner of its undo entries.
const NAME: &str = "fake-process";
/// The program that is a machine.
pub const FAKE_MACHINE: &str = "vc-fake-machine";
/// The environment variable with the directory in which every machine appends to the file
/// `violations` what was done against its agent's rules: one line each, the sandbox's id first.
pub const REPORTS_VARIABLE: &str = "VC_FAKE_MACHINE_REPORTS";

/// Where the agent answers, in the machine's directory.
pub(super) const AGENT_SOCKET: &str = "agent.sock";
/// Where the machine takes commands, in its directory.
const CONTROL_SOCKET: &str = "control";

/// What a machine program is told at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FakeMachineSetup {
    /// The sandbox.
    pub id: SandboxId,
    /// Its agent takes specifications exactly, as ours; otherwise it is as kata-agent.
    pub exact: bool,
    /// The hardware addresses of the guest's links, besides those of its devices.
    pub links: Vec<String>,
    /// The network devices of the start.
    #[serde(default)]
    pub network_devices: Vec<NetworkDevicePlan>,
    /// How many network devices it has room for.
    #[serde(default)]
    pub most_network_devices: u8,
    /// Where violations are reported.
    pub reports: Option<PathBuf>,
}

/// A backend whose machines are processes of the program `vc-fake-machine`. In each the strict fake
/// agent answers on `agent.sock` in the machine's directory, while its CPUs run.
///
/// Containers may run `true`, `false`, `hello` (writes `hello` and a line feed), `cat`, `block`
/// (until a signal ends it), `stubborn` (as `block`, ignoring SIGTERM), `flood` (a mebibyte) and
/// `exit-3`.
#[derive(Debug, Clone)]
pub struct ProcessBackend {
    program: PathBuf,
    flavor: Flavor,
    links: Vec<String>,
    reports: Option<PathBuf>,
    capabilities: Capabilities,
}

impl ProcessBackend {
    /// A backend that starts this program, which calls [`fake_machine`](super::fake_machine).
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            flavor: Flavor::Exact,
            links: Vec::new(),
            reports: None,
            capabilities: Capabilities {
                filesystem_sharing: true,
                pause: true,
                adopt: true,
                network_devices: 4,
                network_hotplug: true,
                ..Capabilities::default()
            },
        }
    }

    /// A backend with the program of this workspace's build: beside our own program, or one folder
    /// up, as it is for tests.
    ///
    /// Errors: `NotFound` when it was not built.
    pub fn built() -> Result<Self, Error> {
        let folders = std::env::current_exe().ok();
        let folders: Vec<&Path> = folders.iter().flat_map(|path| path.ancestors()).collect();
        let search = Search {
            program: FAKE_MACHINE,
            configured: None,
            candidates: [1, 2]
                .iter()
                .filter_map(|up| folders.get(*up))
                .map(|folder| folder.join(FAKE_MACHINE))
                .collect(),
            remedy: "run `cargo build -p virtcontainers-testkit`",
        };
        let found = find_program(&search).map_err(|error| {
            let message = format!("cannot use {FAKE_MACHINE}");
            Error::new(ErrorKind::NotFound, message).with_source(error)
        });
        found.map(Self::new)
    }

    /// Whose rules the agent has; ours when not said.
    #[must_use]
    pub const fn flavor(mut self, flavor: Flavor) -> Self {
        self.flavor = flavor;
        self
    }

    /// A link of every guest, by its hardware address, besides those of its network devices.
    #[must_use]
    pub fn link(mut self, hardware_address: &str) -> Self {
        self.links.push(hardware_address.to_owned());
        self
    }

    /// Where machines report violations, instead of where [`REPORTS_VARIABLE`] says.
    #[must_use]
    pub fn reports(mut self, directory: impl Into<PathBuf>) -> Self {
        self.reports = Some(directory.into());
        self
    }

    /// Other abilities; what it lacks, it refuses.
    #[must_use]
    pub const fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// What the machine in this directory is doing, as it says itself.
    ///
    /// Errors: `Internal` when the directory cannot be opened or the machine talks nonsense.
    pub async fn power(directory: &Path) -> Result<Power, Error> {
        let Ok(directory) = MachineDirectory::open(directory) else {
            return Ok(Power::Ended);
        };
        match control::ask(&directory, Request::Power).await {
            Ok(power) => Ok(power),
            Err(error) if error.kind() == ErrorKind::Gone => Ok(Power::Ended),
            Err(error) => Err(error),
        }
    }

    /// The names of the network devices of the machine in this directory, as it says itself.
    ///
    /// Errors: as [`power`](Self::power), and `Gone` when it has ended.
    pub async fn network_devices(directory: &Path) -> Result<Vec<String>, Error> {
        let directory = MachineDirectory::open(directory).map_err(|_| gone())?;
        let list = control::ask_devices(&directory, Request::Devices).await?;
        Ok(list.split_ascii_whitespace().map(str::to_owned).collect())
    }
}

#[async_trait]
impl Backend for ProcessBackend {
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
        value::check(plan, self.capabilities)?;
        match self.program.is_file() {
            true => Ok(()),
            false => {
                let program = self.program.display();
                let message = format!("there is no program {program}: build the workspace");
                Err(Error::new(ErrorKind::NotFound, message))
            }
        }
    }

    fn agent_endpoint(&self, plan: &MachinePlan) -> Result<AgentEndpoint, Error> {
        let path = plan.directory.join(AGENT_SOCKET);
        Ok(AgentEndpoint::Unix { path })
    }

    async fn launch(
        &self,
        plan: MachinePlan,
        handoffs: Handoffs,
        undo: &dyn UndoSink,
    ) -> Result<Box<dyn Launched>, Error> {
        self.check(&plan)?;
        handoffs.check_network_devices(&plan)?;
        Ok(Box::new(launch::launch(self, plan, handoffs, undo)?))
    }

    async fn adopt(&self, saved: &SavedMachine) -> Result<Arc<dyn Machine>, Error> {
        if !self.capabilities.adopt {
            return Err(lacks("adopt machines"));
        }
        let saved = Saved::from_port(saved)?;
        let machine = ProcessMachine::adopt(saved)?;
        Ok(Arc::new(machine.ok_or_else(gone)?))
    }

    fn undo(&self, entry: &UndoEntry) -> Result<(), Error> {
        undo::Effect::of(entry)?.undo()
    }
}
