//! What a bundle becomes: a sandbox with its first container, or a container that joins a sandbox.

use std::path::Path;

use anyhow::{bail, ensure};
use virtcontainers::oci::{Bundle, PodRole, pod_role};
use virtcontainers::types::{ContainerConfig, ContainerId, SandboxConfig, SandboxId};
use virtcontainers::{Config, ErrorKind, Runtime, container_of_bundle, sandbox_of_bundle};

use crate::args::Global;

/// What is to be made.
#[derive(Debug)]
pub(super) enum Plan {
    Sandbox(Box<SandboxConfig>),
    Member(SandboxId, Box<ContainerConfig>),
}

impl Plan {
    /// Reads a bundle; its annotations decide what it becomes.
    pub(super) async fn of_bundle(
        global: &Global,
        (config, runtime): (&Config, &Runtime),
        bundle: &Path,
        id: &ContainerId,
    ) -> anyhow::Result<Self> {
        let bundle = Bundle::load(bundle)?;
        let systemd = global.systemd_cgroup;
        match pod_role(&bundle.spec)? {
            PodRole::Sandbox => {
                let config = sandbox_of_bundle(config, bundle, id.clone(), systemd)?;
                refuse_network_of_other(runtime, &config).await?;
                Ok(Self::Sandbox(Box::new(config)))
            }
            PodRole::Member { sandbox, process } => {
                let sandbox = joined(runtime, &sandbox, process).await?;
                let config = container_of_bundle(bundle, id.clone(), systemd)?;
                Ok(Self::Member(sandbox, Box::new(config)))
            }
        }
    }

    /// Whether the container's process has a terminal.
    pub(super) fn has_terminal(&self) -> bool {
        match self {
            Self::Sandbox(config) => config.containers.iter().any(ContainerConfig::has_terminal),
            Self::Member(_, config) => config.has_terminal(),
        }
    }
}

/// The sandbox that annotations and namespaces of a bundle tell of: where none has the id that is named,
/// the process counts whose namespaces the container is to join.
async fn joined(
    runtime: &Runtime,
    named: &SandboxId,
    process: Option<u32>,
) -> anyhow::Result<SandboxId> {
    let found = match (runtime.status_sandbox(named).await, process) {
        (Ok(status), _) => status,
        (Err(error), _) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        (Err(_), Some(pid)) => match runtime.sandbox_of_process(pid).await? {
            Some(id) => runtime.status_sandbox(&id).await?,
            None => bail!(
                "neither is there a sandbox {named}, nor does process {pid}, whose namespaces the \
                 bundle names, stand for one: create the first container of the pod with this runtime"
            ),
        },
        (Err(_), None) => bail!(
            "sandbox {named} does not exist: create the container that annotations name as it first"
        ),
    };
    Ok(found.id)
}

/// Refuses a namespace that the machine of another sandbox has, as `podman run --network container:ID`
/// asks for.
async fn refuse_network_of_other(runtime: &Runtime, config: &SandboxConfig) -> anyhow::Result<()> {
    let namespace = config.network.namespace.as_deref();
    let Some(process) = namespace.and_then(process_of) else {
        return Ok(());
    };
    if let Some(other) = runtime.sandbox_of_process(process).await? {
        bail!(
            "container {} is to have the network of sandbox {other}, which is that of a machine: \
             containers share a network within one machine, so put both into one pod",
            config.id
        );
    }
    Ok(())
}

/// The process that `/proc/PID/ns/net` is of.
fn process_of(namespace: &Path) -> Option<u32> {
    let rest = namespace.strip_prefix("/proc").ok()?;
    let pid = rest.components().next()?.as_os_str().to_str()?;
    pid.parse().ok()
}

/// Refuses an id that another container has.
pub(super) async fn ensure_new(runtime: &Runtime, id: &ContainerId) -> anyhow::Result<()> {
    let taken = match runtime.sandbox_of(id).await {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error.into()),
    };
    ensure!(
        !taken,
        "container {id} already exists: delete it, or choose another id"
    );
    Ok(())
}
