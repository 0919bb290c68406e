//! Where one case is played: a state root of its own, fakes, and runtimes over both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtcontainers_agent::{Connector, ErrorKind, Timeouts, Ttrpc};
use virtcontainers_hypervisor::Backend;
use virtcontainers_oci::{CommandLine, container_spec};
use virtcontainers_runtime::{Runtime, RuntimeOptions, Supervision, SupervisorProgram};
use virtcontainers_store::{BootId, FileStore};
use virtcontainers_testkit::agent::DirectAgent;
use virtcontainers_testkit::fault::{FaultBackend, FaultConnector, FaultStore, Points};
use virtcontainers_testkit::hypervisor::{FakeBackend, Power, ProcessBackend};
use virtcontainers_testkit::inventory::{Inventory, Scope};
use virtcontainers_testkit::sample;
use virtcontainers_types::{
    AgentEndpoint, Capabilities, ContainerConfig, ContainerId, Lifetime, NetworkConfig, RootFs,
    SandboxConfig, SandboxId,
};

use crate::child;

/// What a sandbox is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Setting {
    /// Machine, guest and supervisor are in the process of the runtime; nothing is shared.
    Values,
    /// The same with a network namespace, shared directories and their daemon.
    Shared,
    /// Machine and supervisor are processes of their own and survive their creator.
    Processes,
}

/// Everything of one case.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) setting: Setting,
    pub(crate) points: Points,
    base: PathBuf,
    name: String,
    fake: FakeBackend,
    agents: DirectAgent,
    backend: FaultBackend,
    boot: BootId,
    /// The point at which the supervisor's process is killed.
    pub(crate) supervisor_dies_at: Option<u64>,
}

impl Stage {
    /// A stage in the directory `base`, whose sandbox has this name.
    pub(crate) fn new(setting: Setting, base: &Path, name: &str) -> Self {
        let points = Points::new();
        let agents = DirectAgent::new();
        agents.program("true", "", 0);
        let fake = FakeBackend::with_own_agents();
        let fake = fake.with_capabilities(capabilities(setting));
        let inner: Arc<dyn Backend> = match setting {
            Setting::Values | Setting::Shared => Arc::new(fake.clone()),
            Setting::Processes => Arc::new(machines()),
        };
        let guests = agents.clone();
        let backend = FaultBackend::new(inner, points.clone(), move |guest| guests.end(guest));
        Self {
            setting,
            points,
            base: base.to_owned(),
            name: name.to_owned(),
            fake,
            agents,
            backend,
            boot: BootId::current().unwrap(),
            supervisor_dies_at: None,
        }
    }

    /// The same when the host was booted again.
    pub(crate) fn after_a_reboot(mut self) -> Self {
        self.boot = BootId::new("the-next-boot");
        self
    }

    /// A runtime that knows nothing of those before it.
    pub(crate) fn runtime(&self) -> Runtime {
        let mut options = RuntimeOptions::new(self.root());
        let store = FileStore::new(self.root(), self.boot.clone());
        let store = FaultStore::new(Arc::new(store), self.points.clone());
        options.store = Some(Arc::new(store));
        let fake = self.fake.clone();
        let id = self.id();
        let halted = move |_: &AgentEndpoint| {
            let machine = fake.machine(&id);
            machine.is_some_and(|machine| machine.power() == Power::Paused)
        };
        options.agents = match self.setting {
            Setting::Values | Setting::Shared => Arc::new(FaultConnector::new(
                Arc::new(self.agents.clone()),
                self.points.clone(),
                halted,
            )),
            Setting::Processes => Arc::new(FaultConnector::new(
                Arc::new(Ttrpc),
                self.points.clone(),
                |_| false,
            )),
        };
        if self.setting == Setting::Processes {
            options.supervision = Supervision::Process(SupervisorProgram {
                program: std::env::current_exe().unwrap(),
                args: child::arguments(child::SUPERVISOR),
                stand_in: Vec::new(),
                env: vec![(child::SUPERVISOR_VARIABLE.into(), "1".into())],
                preamble: serde_json::to_value(child::Supervised {
                    base: self.base.clone(),
                    name: self.name.clone(),
                    dies_at: self.supervisor_dies_at,
                })
                .unwrap(),
            });
        }
        Runtime::new(options, Arc::new(self.backend.clone())).unwrap()
    }

    /// What there is on the host now.
    pub(crate) fn inventory(&self) -> Inventory {
        let scope = Scope {
            root: self.root(),
            prefix: self.name.clone(),
            descriptors: true,
        };
        Inventory::take(&scope).unwrap()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.base.join("state")
    }

    pub(crate) fn id(&self) -> SandboxId {
        SandboxId::new(&self.name).unwrap()
    }

    /// The container that the sandbox is made with.
    pub(crate) fn first(&self) -> ContainerId {
        ContainerId::new(&self.name).unwrap()
    }

    /// The container that is added.
    pub(crate) fn second(&self) -> ContainerId {
        ContainerId::new(format!("{}-second", self.name)).unwrap()
    }

    /// What the machine is doing.
    pub(crate) async fn power(&self) -> Power {
        match self.setting {
            Setting::Values | Setting::Shared => {
                let machine = self.fake.machine(&self.id());
                machine.map_or(Power::Ended, |machine| machine.power())
            }
            Setting::Processes => {
                let directory = self.root().join("machines").join(self.name.as_str());
                ProcessBackend::power(&directory).await.unwrap()
            }
        }
    }

    /// The containers that the guest has, and those of them that have not ended; `None` when it
    /// cannot be asked.
    pub(crate) async fn guest_containers(&self) -> Option<(Vec<String>, Vec<String>)> {
        let endpoint = self.endpoint();
        if self.setting != Setting::Processes {
            let agents = &self.agents;
            return Some((
                agents.containers(&endpoint),
                agents.living_containers(&endpoint),
            ));
        }
        if self.power().await != Power::Running {
            return None;
        }
        let limit = Duration::from_secs(10);
        let agent = Ttrpc.connect(&endpoint, Timeouts::default(), limit).await;
        let agent = agent.ok()?;
        let (mut all, mut living) = (Vec::new(), Vec::new());
        for container in [self.first(), self.second()] {
            match agent.list_processes(&container).await {
                Ok(processes) => {
                    all.push(container.to_string());
                    if !processes.is_empty() {
                        living.push(container.to_string());
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // It ended just now.
                Err(error) if error.kind() == ErrorKind::Gone => return None,
                Err(error) => unreachable!("a guest cannot be looked into: {error}"),
            }
        }
        Some((all, living))
    }

    fn endpoint(&self) -> AgentEndpoint {
        let directory = self.root().join("machines").join(&self.name);
        AgentEndpoint::Unix {
            path: directory.join("agent.sock"),
        }
    }

    /// The first container's program ends by itself.
    pub(crate) fn exit(&self) {
        let first = self.first();
        self.agents
            .exit(&self.endpoint(), first.as_str(), first.as_str(), 3);
    }

    /// The machine is lost.
    pub(crate) fn crash(&self) {
        if let Some(machine) = self.fake.machine(&self.id()) {
            machine.crash();
        }
        self.agents.end(&self.endpoint());
    }

    /// The containers that something is shared for; `None` when nothing is ever.
    pub(crate) fn shared_containers(&self) -> Option<Vec<String>> {
        if self.setting != Setting::Shared {
            return None;
        }
        let directory = self.root().join("shares").join(&self.name).join("rw");
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Some(names)
    }

    /// The network devices that the machine has, in the order of their names; `None` when it is
    /// gone, or is not asked.
    pub(crate) fn network_devices(&self) -> Option<Vec<String>> {
        let machine = self.fake.machine(&self.id())?;
        let devices = machine.network_devices().into_iter();
        let mut names: Vec<_> = devices.map(|device| device.id).collect();
        names.sort();
        (machine.power() != Power::Ended).then_some(names)
    }

    /// The name of the sandbox's network namespace.
    pub(crate) fn namespace(&self) -> String {
        format!("vc-{}", self.name)
    }

    /// What was done against the agent's rules.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.agents.violations()
    }

    pub(crate) fn sandbox(&self, lifetime: Lifetime) -> SandboxConfig {
        SandboxConfig {
            network: NetworkConfig {
                disabled: self.setting != Setting::Shared,
                ..NetworkConfig::default()
            },
            lifetime,
            ..sample::sandbox(self.id(), vec![self.container(self.first())])
        }
    }

    pub(crate) fn container(&self, id: ContainerId) -> ContainerConfig {
        let command = CommandLine {
            args: vec!["block".to_owned()],
            ..CommandLine::default()
        };
        let rootfs = self.base.join("rootfs");
        let shared = self.setting == Setting::Shared;
        if shared {
            std::fs::create_dir_all(&rootfs).unwrap();
        }
        ContainerConfig {
            id,
            spec: container_spec(&command, &rootfs, &[]),
            rootfs: match shared {
                true => rootfs.into(),
                false => RootFs::Guest {
                    guest: "/rootfs".into(),
                },
            },
            bundle: None,
            cgroup: None,
        }
    }
}

fn capabilities(setting: Setting) -> Capabilities {
    Capabilities {
        filesystem_sharing: setting == Setting::Shared,
        network_devices: 4,
        network_hotplug: true,
        pause: true,
        adopt: true,
        ..Capabilities::default()
    }
}

/// Machines that are processes, of the program that is built with these tests; its name has a hash.
fn machines() -> ProcessBackend {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    let candidates = std::fs::read_dir(folder).unwrap().flatten();
    let newest = candidates
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("machine_program-") && !name.contains('.')
        })
        .max_by_key(|entry| entry.metadata().and_then(|known| known.modified()).unwrap());
    let program = newest.unwrap().path();
    ProcessBackend::new(program).with_capabilities(capabilities(Setting::Processes))
}
