//! Planning a sandbox: everything that will be done, decided before anything happens.

use std::path::Path;

use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::{Backend, MachinePlan, SharePlan};
use virtcontainers_share::DaemonConfig;
use virtcontainers_store::{Blob, Record};
use virtcontainers_types::{AgentStart, Attachment, ContainerConfig, Deadlines, SandboxConfig};

use crate::boot;
use crate::cgroup;
use crate::error::{Context, Error, ErrorKind};
use crate::paths::Layout;

/// The mount tag of the shared directory; both our agent and kata-agent know it.
pub(crate) const SHARE_TAG: &str = "kataShared";

const VERSION: u32 = 1;

/// What will be done to bring a sandbox up; stored with it, so that any process can undo it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SandboxPlan {
    /// Carried by every process of the sandbox in its environment.
    pub(crate) nonce: String,
    /// Whether the sandbox ends with its creator.
    pub(crate) attachment: Attachment,
    /// The virtual machine.
    pub(crate) machine: MachinePlan,
}

impl SandboxPlan {
    pub(crate) fn to_blob(&self) -> Result<Blob, Error> {
        let data = serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot write the plan of the sandbox").because(error)
        })?;
        Ok(Blob {
            version: VERSION,
            data,
        })
    }
}

/// What every process of a sandbox carries in its environment; empty when its plan tells none.
pub(crate) fn nonce(record: &Record) -> &str {
    let plan = record.plan.as_ref();
    let nonce = plan.and_then(|plan| plan.data.get("nonce")?.as_str());
    nonce.unwrap_or_default()
}

/// Decides how `config` is brought up. Pure: nothing is looked up on the host.
pub(crate) fn plan(
    config: &SandboxConfig,
    layout: &Layout,
    backend: &dyn Backend,
    deadline_factor: f64,
    nonce: String,
    attachment: Attachment,
) -> Result<SandboxPlan, Error> {
    if config.containers.is_empty() {
        let message = format!(
            "sandbox {} has no container: give it at least one",
            config.id
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let sharing = backend.capabilities().filesystem_sharing;
    if let Some(container) = config.containers.iter().find(|one| needs_share(one))
        && !sharing
    {
        let message = format!(
            "{} cannot share directories with the guest, which container {} needs: give it a root \
             file system that the guest has, and no volumes",
            backend.name(),
            container.id
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if !config.boot.hypervisor.is_empty() && !backend.capabilities().own_program {
        let message = format!(
            "sandbox {} names a program or arguments for its machine, which {} cannot take: leave \
             them out",
            config.id,
            backend.name()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if config.network.disabled && config.network.namespace.is_some() {
        let message = format!(
            "sandbox {} has a network namespace and no network: choose one of the two",
            config.id
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(SandboxPlan {
        nonce,
        attachment,
        machine: MachinePlan {
            id: config.id.clone(),
            directory: layout.machine(&config.id),
            memory: config.memory,
            vcpus: config.vcpus,
            boot: config.boot.clone(),
            share: sharing.then(|| SharePlan {
                tag: SHARE_TAG.to_owned(),
                socket: virtcontainers_share::SOCKET.into(),
            }),
            network_devices: Vec::new(),
            agent_announces: config.agent.start == AgentStart::Announces,
            deadlines: deadlines(backend, deadline_factor),
        },
    })
}

/// The deadlines of sandboxes of this backend.
pub(crate) fn deadlines(backend: &dyn Backend, factor: f64) -> Deadlines {
    let base = match backend.is_accelerated() {
        true => Deadlines::ACCELERATED,
        false => Deadlines::EMULATED,
    };
    base.scaled(factor)
}

/// Whether a container needs directories or files of the host.
fn needs_share(container: &ContainerConfig) -> bool {
    container.rootfs.host().is_some() || !virtcontainers_oci::host_binds(&container.spec).is_empty()
}

/// Refuses what can be foreseen to fail, by looking at the host without changing it.
pub(crate) fn check(
    config: &SandboxConfig,
    plan: &SandboxPlan,
    backend: &dyn Backend,
    daemon: &DaemonConfig,
) -> Result<(), Error> {
    let id = &config.id;
    if plan.machine.share.is_some() {
        daemon
            .find()
            .during(|| format!("cannot start sandbox {id}"))?;
    }
    backend
        .check(&plan.machine)
        .during(|| format!("cannot start sandbox {id}"))?;
    if let Some(path) = &config.network.namespace {
        virtcontainers_network::open_namespace(path).during(|| {
            format!(
                "sandbox {id} cannot use the network namespace {}",
                path.display()
            )
        })?;
    }
    boot::shared_memory_of(config)?;
    let first = config.containers.first();
    config.containers.iter().try_for_each(|container| {
        let member = first.is_some_and(|first| first.id != container.id);
        check_container(container, member)
    })
}

/// Refuses a container whose files are not there or cannot be shared, or whose cgroup cannot be.
/// `member`: it joins the sandbox of another.
pub(crate) fn check_container(container: &ContainerConfig, member: bool) -> Result<(), Error> {
    if let Some(rootfs) = container.rootfs.host() {
        require_directory(rootfs)?;
    }
    cgroup::open(container)?;
    let binds = virtcontainers_oci::host_binds(&container.spec);
    binds
        .iter()
        .try_for_each(|bind| boot::route_of(bind, member).map(drop))
}

fn require_directory(rootfs: &Path) -> Result<(), Error> {
    match std::fs::metadata(rootfs) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => {
            let message = format!("root file system {} is not a directory", rootfs.display());
            Err(Error::new(ErrorKind::Invalid, message))
        }
        Err(error) => {
            let message = format!(
                "root file system {} cannot be used: name a directory that holds the container's \
                 files",
                rootfs.display()
            );
            Err(Error::new(ErrorKind::NotFound, message).because(error))
        }
    }
}
