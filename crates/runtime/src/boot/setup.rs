//! Last phases: the agent sets up the sandbox and creates its containers.

use std::sync::Arc;
use std::time::Duration;

use virtcontainers_agent::spec::{self, Dialect, Role, Target};
use virtcontainers_agent::{AgentPort, GuestDetails};
use virtcontainers_agent_proto::agent::{CreateContainerRequest, CreateSandboxRequest, Storage};
use virtcontainers_hypervisor::MachineExit;
use virtcontainers_network::Namespace;
use virtcontainers_oci::is_pod_sandbox;
use virtcontainers_share::Daemon;
use virtcontainers_types::{GuestFacts, SandboxConfig};

use super::connect::{Connected, RunningMachine};
use super::launch::{daemon_ended, daemon_exit, lost};
use super::share::GuestContainer;
use super::source::shared_memory_of;
use super::{BootFailure, Job, Lap, Phase, volumes};
use crate::Agent;
use crate::error::{Context, Error, of_command};
use crate::network::{self, Attached};

/// How long the end of the machine may be seen after that of its helper, and still be its cause.
const CAUSE_WINDOW: Duration = Duration::from_millis(500);

/// The sandbox is up and its containers are created; everything here lives as long as it does.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) machine: RunningMachine,
    pub(crate) agent: Agent,
    pub(crate) facts: GuestFacts,
    pub(crate) attached: Attached,
    daemon: Option<Arc<Daemon>>,
    pub(crate) namespace: Option<Namespace>,
}

impl Ready {
    /// Resolves when the machine or a helper that it cannot do without ends.
    pub(crate) async fn lost(&self) -> MachineExit {
        let (helper, well) = tokio::select! {
            exit = self.machine.wait() => return exit,
            ended = daemon_ended(self.daemon.as_deref()) => ended,
        };
        if !well {
            return helper;
        }
        // It goes when its machine goes, which is the cause then.
        let machine = tokio::time::timeout(CAUSE_WINDOW, self.machine.wait());
        machine.await.unwrap_or(helper)
    }
}

impl Connected {
    pub(super) async fn set_up(
        self,
        job: Job<'_>,
        lap: &mut Lap<'_>,
    ) -> Result<Ready, BootFailure> {
        let Self {
            namespace,
            daemon,
            machine,
            agent,
            containers,
            guest,
            attached,
        } = self;
        let set_up = async {
            // At once: neither needs the other, and a kata-agent is told of its network first.
            let sandbox = create_sandbox(job, &*agent);
            let network = network::set_up(&*agent, guest);
            let (details, ()) =
                tokio::try_join!(sandbox, network).map_err(BootFailure::at(Phase::Sandbox))?;
            lap.completed(Phase::Sandbox);
            let roles = roles(job.config);
            for (container, role) in containers.into_iter().zip(roles) {
                create_container(&*agent, container, role, details.dialect, &details.facts)
                    .await
                    .map_err(BootFailure::at(Phase::Containers))?;
            }
            lap.completed(Phase::Containers);
            Ok(details.facts)
        };
        let facts = tokio::select! {
            facts = set_up => facts?,
            exit = machine.wait() => return Err(lost(Phase::Containers, exit)),
            exit = daemon_exit(daemon.as_deref()) => return Err(lost(Phase::Containers, exit)),
        };
        Ok(Ready {
            machine,
            agent,
            facts,
            attached,
            daemon,
            namespace,
        })
    }
}

async fn create_sandbox(job: Job<'_>, agent: &dyn AgentPort) -> Result<GuestDetails, Error> {
    let id = &job.config.id;
    let shared_memory = shared_memory_of(job.config)?;
    let request = CreateSandboxRequest {
        hostname: job
            .config
            .hostname
            .clone()
            .unwrap_or_else(|| id.to_string()),
        sandbox_id: id.to_string(),
        dns: job.config.network.dns.clone(),
        storages: storages(job.plan.machine.share.is_some(), shared_memory),
        ..CreateSandboxRequest::default()
    };
    let failed = || format!("the guest cannot set up sandbox {id}");
    let (created, details) = tokio::join!(agent.create_sandbox(request), agent.guest_details());
    created.during(failed)?;
    details.during(failed)
}

/// Creates a container in a guest that is set up.
pub(crate) async fn create_container(
    agent: &dyn AgentPort,
    container: GuestContainer,
    role: Role,
    dialect: Dialect,
    facts: &GuestFacts,
) -> Result<(), Error> {
    let failed = || format!("the guest cannot create container {}", container.id);
    let target = Target {
        id: &container.id,
        root: &container.root,
        role,
        dialect,
        seccomp: facts.seccomp,
        shared_shm: container.shared_shm,
    };
    let guest = spec::container(&container.spec, &target).during(failed)?;
    for left_out in &guest.left_out {
        let spec::LeftOut { property, reason } = left_out;
        tracing::debug!(container = %container.id, property, reason, "not sent to the guest");
    }
    let request = CreateContainerRequest {
        container_id: container.id.to_string(),
        OCI: Some(guest.spec).into(),
        storages: container.storages,
        sandbox_pidns: guest.shares_pids,
        ..CreateContainerRequest::default()
    };
    agent
        .create_container(request)
        .await
        .map_err(|error| of_command(error, failed()))
}

/// What each container is in its sandbox: alone, or the first of several.
fn roles(config: &SandboxConfig) -> impl Iterator<Item = Role> {
    let containers = &config.containers;
    let told = containers
        .first()
        .is_some_and(|first| is_pod_sandbox(&first.spec));
    let first = match told || containers.len() > 1 {
        true => Role::PodSandbox,
        false => Role::Single,
    };
    std::iter::once(first).chain(std::iter::repeat(Role::PodContainer))
}

fn storages(share: bool, shared_memory: Option<u64>) -> Vec<Storage> {
    let shared = share.then(volumes::shared_directory);
    let memory = shared_memory.map(volumes::shared_memory);
    shared.into_iter().chain(memory).collect()
}
