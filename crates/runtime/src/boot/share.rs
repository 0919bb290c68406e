//! First phase: the network namespace and the directories that the guest will see.

use std::path::PathBuf;

use virtcontainers_agent::guest_path;
use virtcontainers_network::Namespace;
use virtcontainers_oci::{guest_spec, host_binds};
use virtcontainers_share::{Daemon, Tree};
use virtcontainers_types::{ContainerConfig, ContainerId, Volume};

use super::Job;
use crate::error::{Context, Error};

/// Namespace, shared tree and file system daemon are there.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) namespace: Namespace,
    pub(super) daemon: Daemon,
    pub(super) containers: Vec<GuestContainer>,
}

/// A container as the guest will see it.
#[derive(Debug)]
pub(super) struct GuestContainer {
    pub(super) id: ContainerId,
    /// Its root file system in the guest.
    pub(super) root: String,
    pub(super) spec: oci_spec::runtime::Spec,
}

impl Shared {
    /// Makes the namespace, fills the shared tree and starts the daemon. Blocks for some
    /// milliseconds.
    pub(super) fn prepare(job: Job<'_>) -> Result<Self, Error> {
        let id = &job.config.id;
        let namespace = namespace(job)?;
        let tree = Tree::create(job.host.layout.root(), id, job.ledger)
            .during(|| format!("cannot make the shared directory of sandbox {id}"))?;
        let mut containers = Vec::with_capacity(job.config.containers.len());
        for container in &job.config.containers {
            containers.push(share_container(&tree, container, job)?);
        }
        let daemon = start_daemon(job, &tree)?;
        Ok(Self {
            namespace,
            daemon,
            containers,
        })
    }
}

fn namespace(job: Job<'_>) -> Result<Namespace, Error> {
    let id = &job.config.id;
    match &job.config.network.namespace {
        Some(path) => virtcontainers_network::open_namespace(path)
            .during(|| format!("cannot use the network namespace {}", path.display())),
        None => virtcontainers_network::create_namespace(&format!("vc-{id}"), job.ledger)
            .during(|| format!("cannot make a network namespace for sandbox {id}")),
    }
}

fn share_container(
    tree: &Tree,
    container: &ContainerConfig,
    job: Job<'_>,
) -> Result<GuestContainer, Error> {
    let id = &container.id;
    // A read-only root is made so in the guest, after mount points were made in it.
    let root = tree
        .add_rootfs(id, &container.rootfs, false, job.ledger)
        .during(|| format!("cannot share the root file system of container {id}"))?;
    let mut shared: Vec<(usize, PathBuf)> = Vec::new();
    for bind in host_binds(&container.spec) {
        let volume = Volume {
            source: bind.source,
            destination: bind.destination,
            read_only: bind.read_only,
        };
        let path = tree
            .add_volume(id, bind.index, &volume, job.ledger)
            .during(|| {
                format!(
                    "cannot share {} with container {id}",
                    volume.source.display()
                )
            })?;
        shared.push((bind.index, path));
    }
    let spec = guest_spec(&container.spec, &root, &shared);
    Ok(GuestContainer {
        id: id.clone(),
        root: root.display().to_string(),
        spec,
    })
}

fn start_daemon(job: Job<'_>, tree: &Tree) -> Result<Daemon, Error> {
    let id = &job.config.id;
    debug_assert_eq!(guest_path::SHARED_TAG, crate::plan::SHARE_TAG);
    Daemon::start(
        &job.host.daemon,
        tree,
        &job.plan.machine.directory,
        &job.plan.nonce,
        job.die_with_thread,
        job.ledger,
    )
    .during(|| format!("cannot start the file system daemon of sandbox {id}"))
}
