//! First phase: the network namespace and the directories that the guest will see.

use std::path::PathBuf;
use std::sync::Arc;

use virtcontainers_agent::guest_path;
use virtcontainers_agent_proto::agent::Storage;
use virtcontainers_network::Namespace;
use virtcontainers_oci::{Route, guest_spec, host_binds, shared_memory};
use virtcontainers_share::{Daemon, SharedVolume, Tree};
use virtcontainers_types::{ContainerConfig, ContainerId, RootFs, SandboxConfig, UndoSink};

use super::network::Network;
use super::source::route_of;
use super::{Job, volumes};
use crate::error::{Context, Error, ErrorKind};

/// Namespace, shared tree and file system daemon are there, as far as they are wanted.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) namespace: Option<Namespace>,
    pub(super) daemon: Option<Arc<Daemon>>,
    pub(super) containers: Vec<GuestContainer>,
    /// Nothing, until the network is connected.
    pub(super) network: Network,
}

/// A container as the guest will see it.
#[derive(Debug)]
pub(crate) struct GuestContainer {
    pub(crate) id: ContainerId,
    /// Its root file system in the guest.
    pub(crate) root: String,
    pub(crate) spec: oci_spec::runtime::Spec,
    /// Volumes that the guest makes for it.
    pub(crate) storages: Vec<Storage>,
    /// Its `/dev/shm` is the sandbox's.
    pub(crate) shared_shm: bool,
}

impl Shared {
    /// Makes the namespace, fills the shared tree and starts the daemon. Blocks for some
    /// milliseconds.
    pub(super) fn prepare(job: Job<'_>) -> Result<Self, Error> {
        let id = &job.config.id;
        let namespace = namespace(job)?;
        let share = job.plan.machine.share.is_some();
        let tree = share
            .then(|| Tree::create(job.host.layout.root(), id, job.ledger))
            .transpose()
            .during(|| format!("cannot make the shared directory of sandbox {id}"))?;
        let mut containers = Vec::with_capacity(job.config.containers.len());
        for container in &job.config.containers {
            let shared = share_container(tree.as_ref(), job.config, container, job.ledger);
            containers.push(shared?);
        }
        let daemon = tree.map(|tree| start_daemon(job, &tree)).transpose()?;
        Ok(Self {
            namespace,
            daemon: daemon.map(Arc::new),
            containers,
            network: Network::default(),
        })
    }
}

fn namespace(job: Job<'_>) -> Result<Option<Namespace>, Error> {
    let id = &job.config.id;
    let network = &job.config.network;
    match &network.namespace {
        _ if network.disabled => Ok(None),
        Some(path) => virtcontainers_network::open_namespace(path)
            .during(|| format!("cannot use the network namespace {}", path.display()))
            .map(Some),
        None => virtcontainers_network::create_namespace(&format!("vc-{id}"), job.ledger)
            .during(|| format!("cannot make a network namespace for sandbox {id}"))
            .map(Some),
    }
}

/// Shares what a container of `sandbox` needs of the host, and says how the guest will see it.
/// Blocks for some system calls.
pub(crate) fn share_container(
    tree: Option<&Tree>,
    sandbox: &SandboxConfig,
    container: &ContainerConfig,
    undo: &dyn UndoSink,
) -> Result<GuestContainer, Error> {
    let id = &container.id;
    let shared_tree = || {
        tree.ok_or_else(|| {
            let message =
                format!("container {id} needs a directory of the host, and none is shared");
            Error::new(ErrorKind::Unsupported, message)
        })
    };
    let root = match &container.rootfs {
        // A read-only root is made so in the guest, after mount points were made in it.
        RootFs::Host(rootfs) => shared_tree()?
            .add_rootfs(id, rootfs, false, undo)
            .during(|| format!("cannot share the root file system of container {id}"))?,
        RootFs::Guest { guest } => guest.clone(),
    };
    let first = sandbox.containers.first();
    let member = first.is_none_or(|first| first.id != *id);
    let mut sources: Vec<(usize, PathBuf)> = Vec::new();
    let mut storages = Vec::new();
    for bind in host_binds(&container.spec) {
        let source = match route_of(&bind, member)? {
            Route::Guest => continue,
            Route::Ephemeral { name } => volumes::ephemeral(&name, &mut storages),
            Route::Local { name } => volumes::local(sandbox, &name, &mut storages),
            Route::Shared => {
                let volume = SharedVolume {
                    source: &bind.source,
                    read_only: bind.read_only,
                    recursive: bind.recursive,
                    follows: bind.follows,
                };
                let shared = shared_tree()?.add_volume(id, bind.index, volume, undo);
                shared.during(|| {
                    let source = bind.source.display();
                    format!("cannot share {source} with container {id}")
                })?
            }
        };
        sources.push((bind.index, source));
    }
    let spec = guest_spec(&container.spec, &root, &sources);
    Ok(GuestContainer {
        id: id.clone(),
        root: root.display().to_string(),
        spec,
        storages,
        shared_shm: first.is_some_and(|first| shared_memory(&first.spec).is_some()),
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
