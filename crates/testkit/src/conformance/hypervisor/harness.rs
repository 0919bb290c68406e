//! What the suite must know of a backend besides its port.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use virtcontainers_hypervisor::{Backend, MachinePlan};
use virtcontainers_process::{find_by_nonce, kill_and_wait};
use virtcontainers_types::{
    BootConfig, Capabilities, Deadlines, GuestRoot, Mebibytes, SandboxId, VcpuCount,
};

use crate::hypervisor::{FakeBackend, Power, ProcessBackend};

const KILL: Duration = Duration::from_secs(20);

/// How to make a backend, and how to look at its machines from outside.
#[async_trait]
pub trait Harness: Send + Sync {
    /// What is tried, for the report.
    fn name(&self) -> String;

    /// A backend, as another process with the same configuration would have one.
    fn backend(&self) -> Arc<dyn Backend>;

    /// A machine that works: it has this id and directory, no shared directory, and a guest that
    /// needs nothing but its CPUs. Where network devices come and go, it lets go of those that it is
    /// asked for from the start on. [`plan`] gives all but the guest.
    fn plan(&self, id: SandboxId, directory: PathBuf) -> MachinePlan;

    /// What the machine's CPUs do, asked past the port.
    async fn power(&self, plan: &MachinePlan) -> Result<Power, String>;

    /// The names of the machine's network devices, asked past the port; those of which only a part is
    /// there as well. Needed where network devices come and go.
    async fn network_devices(&self, _plan: &MachinePlan) -> Result<Vec<String>, String> {
        Err("the harness cannot ask for network devices yet".to_owned())
    }

    /// What carries the frames of a network device, for one pair of queues; something that is good for
    /// nothing does where the monitor does not look.
    fn network_descriptor(&self) -> Result<OwnedFd, String> {
        let nowhere = File::open("/dev/null");
        nowhere
            .map(OwnedFd::from)
            .map_err(|error| error.to_string())
    }

    /// Plans whose failure can be foreseen, and what is wrong with them.
    fn refused(&self, good: &MachinePlan) -> Vec<(&'static str, MachinePlan)> {
        let memory = Mebibytes(Mebibytes::MINIMUM.0 - 1);
        let small = MachinePlan {
            memory,
            ..good.clone()
        };
        vec![("too little memory", small)]
    }

    /// Whether machines consist of processes.
    fn has_processes(&self) -> bool {
        true
    }

    /// Whether the launcher of a machine is told what happens to it.
    fn has_events(&self) -> bool {
        true
    }

    /// How long one promise may take to be tried; past it, it is broken.
    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }

    /// Ends the machine as an accident would, and returns when it has ended.
    fn crash(&self, _plan: &MachinePlan, nonce: &str) -> Result<(), String> {
        for process in find_by_nonce(nonce).map_err(|error| error.to_string())? {
            kill_and_wait(process, KILL).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// What there is of a machine: processes that bear the nonce, files in its directory.
    fn left(&self, plan: &MachinePlan, nonce: &str) -> Result<Vec<String>, String> {
        let mut left = Vec::new();
        for process in find_by_nonce(nonce).map_err(|error| error.to_string())? {
            left.push(process.to_string());
        }
        let entries = std::fs::read_dir(&plan.directory).map_err(|error| error.to_string())?;
        for entry in entries {
            let name = entry.map_err(|error| error.to_string())?.file_name();
            left.push(format!("file {}", name.to_string_lossy()));
        }
        Ok(left)
    }
}

/// A plan of the smallest machine, with a kernel and an initial RAM disk at these paths.
pub fn plan(
    id: SandboxId,
    directory: PathBuf,
    kernel: impl Into<PathBuf>,
    initrd: impl Into<PathBuf>,
) -> MachinePlan {
    MachinePlan {
        id,
        directory,
        memory: Mebibytes::MINIMUM,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: kernel.into(),
            root: GuestRoot::Initrd(initrd.into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        share: None,
        network_devices: Vec::new(),
        agent_announces: false,
        deadlines: Deadlines::EMULATED,
    }
}

/// For the backend whose machines are values.
#[derive(Debug)]
pub struct FakeHarness(FakeBackend);

impl FakeHarness {
    /// With all abilities, or with none.
    pub fn new(able: bool) -> Self {
        let backend = FakeBackend::new("/nowhere/agent.sock");
        Self(match able {
            true => backend,
            false => backend.with_capabilities(Capabilities::default()),
        })
    }
}

#[async_trait]
impl Harness for FakeHarness {
    fn name(&self) -> String {
        "machines that are values".to_owned()
    }

    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.0.clone())
    }

    fn plan(&self, id: SandboxId, directory: PathBuf) -> MachinePlan {
        plan(id, directory, "/kernel", "/initrd")
    }

    async fn power(&self, plan: &MachinePlan) -> Result<Power, String> {
        let machine = self.0.machine(&plan.id);
        Ok(machine.map_or(Power::Ended, |machine| machine.power()))
    }

    async fn network_devices(&self, plan: &MachinePlan) -> Result<Vec<String>, String> {
        let machine = self.0.machine(&plan.id).ok_or("there is no such machine")?;
        let devices = machine.network_devices();
        Ok(devices.into_iter().map(|device| device.id).collect())
    }

    fn has_processes(&self) -> bool {
        false
    }

    fn crash(&self, plan: &MachinePlan, _nonce: &str) -> Result<(), String> {
        let machine = self.0.machine(&plan.id);
        machine.ok_or("there is no such machine")?.crash();
        Ok(())
    }

    fn left(&self, plan: &MachinePlan, _nonce: &str) -> Result<Vec<String>, String> {
        let machine = self.0.machine(&plan.id);
        let alive = machine.filter(|machine| machine.power() != Power::Ended);
        Ok(alive
            .map(|machine| format!("a machine that is {}", machine.power()))
            .into_iter()
            .collect())
    }
}

/// For the backend whose machines are processes.
#[derive(Debug)]
pub struct ProcessHarness(ProcessBackend);

impl ProcessHarness {
    /// For this backend.
    pub const fn new(backend: ProcessBackend) -> Self {
        Self(backend)
    }
}

#[async_trait]
impl Harness for ProcessHarness {
    fn name(&self) -> String {
        "machines that are processes".to_owned()
    }

    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.0.clone())
    }

    fn plan(&self, id: SandboxId, directory: PathBuf) -> MachinePlan {
        plan(id, directory, "/kernel", "/initrd")
    }

    async fn power(&self, plan: &MachinePlan) -> Result<Power, String> {
        let power = ProcessBackend::power(&plan.directory).await;
        power.map_err(|error| error.to_string())
    }

    async fn network_devices(&self, plan: &MachinePlan) -> Result<Vec<String>, String> {
        let devices = ProcessBackend::network_devices(&plan.directory).await;
        devices.map_err(|error| error.to_string())
    }
}
