//! `CreateContainer`: from the request to an init that waits for its start.
//!
//! Each step that leaves something behind is undone when a later one fails, in reverse.

use std::path::{Path, PathBuf};

use virtcontainers_agent_proto::agent::CreateContainerRequest;
use virtcontainers_agent_proto::oci;

use super::bundle;
use crate::agent::Agent;
use crate::container;
use crate::containers::Container;
use crate::device;
use crate::process::Process;
use crate::status::{Failure, Result};
use crate::stdio;

/// Annotation by which a runtime asks for a file with the reason of a container's end.
const TERMINATION_LOG: &str = "io.kubernetes.container.terminationMessagePath";

/// Creates a container. Not to be dropped half-way: run as a task of its own.
///
/// # Errors
/// INVALID_ARGUMENT for what can be seen to be wrong, ALREADY_EXISTS, FAILED_PRECONDITION before
/// the sandbox exists, INTERNAL when a step fails. Nothing is left then.
pub(crate) async fn create(agent: &Agent, request: CreateContainerRequest) -> Result<()> {
    let id = request.container_id;
    let reservation = agent.containers.reserve(&id)?;
    let mut spec = request
        .OCI
        .into_option()
        .ok_or_else(|| Failure::invalid("a container needs an OCI specification"))?;
    agent.sandbox.check_here()?;
    if !request.shared_mounts.is_empty() {
        return Err(Failure::invalid("shared_mounts are not supported"));
    }
    load_filesystems(agent, &spec).await?;
    let storages = agent.storages.add_all(agent, &request.storages).await?;
    let made = async {
        device::patch::apply(agent, &request.devices, &mut spec).await?;
        with_bundle(agent, &id, spec, request.sandbox_pidns).await
    }
    .await;
    match made {
        Ok((init, termination_log)) => {
            agent.sandbox.offer_pid_namespace(&init);
            let oom = agent.oom.watch(&agent.engine, &id);
            let container = Container::new(id.clone(), init, storages, oom, termination_log);
            reservation.fill(container);
            Ok(())
        }
        Err(failure) => {
            agent.storages.release_all(&storages).await;
            Err(failure.within(format!("create container {id}")))
        }
    }
}

/// Binds the root file system, starts the init, or leaves no bundle.
async fn with_bundle(
    agent: &Agent,
    id: &str,
    mut spec: oci::Spec,
    share_pids: bool,
) -> Result<(Process, Option<PathBuf>)> {
    let folder = agent.config.bundle(id);
    let root = spec.Root.mut_or_insert_default();
    let rootfs = bundle::make(&folder, Path::new(&root.Path))?;
    root.Path = rootfs.to_string_lossy().into_owned();
    let termination_log = termination_log(&spec);
    match spawn_init(agent, id, &spec, share_pids).await {
        Ok(init) => Ok((init, termination_log)),
        Err(failure) => {
            bundle::unmake(&folder);
            Err(failure)
        }
    }
}

async fn spawn_init(
    agent: &Agent,
    id: &str,
    spec: &oci::Spec,
    share_pids: bool,
) -> Result<Process> {
    let terminal = spec
        .Process
        .as_ref()
        .filter(|process| process.Terminal)
        .map(terminal_size);
    let namespaces = agent.sandbox.namespaces(share_pids)?;
    let spec = container::from_proto::spec(spec)?;
    let (streams, child) = stdio::prepare(terminal, agent.config.container_pipe_size)?;
    let spawning = agent.reaper.spawning();
    let spawned = agent.engine.create(id, spec, child, namespaces).await?;
    let exit = agent.reaper.watch(spawned.pid);
    drop(spawning);
    match streams.finish(spawned.terminal) {
        Ok(streams) => Ok(Process::new(spawned.pid, exit, streams)),
        Err(failure) => {
            if let Err(error) = agent.engine.remove(id).await {
                log::warn!("roll back container {id}: {error}");
            }
            Err(failure)
        }
    }
}

/// Rows and columns that the specification asks for.
pub(super) fn terminal_size(process: &oci::Process) -> Option<(u16, u16)> {
    let size = process.ConsoleSize.as_ref()?;
    Some((
        u16::try_from(size.Height).ok()?,
        u16::try_from(size.Width).ok()?,
    ))
    .filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// File systems that the specification's mounts name may be modules.
async fn load_filesystems(agent: &Agent, spec: &oci::Spec) -> Result<()> {
    let named = |kind: &str| matches!(kind, "overlay" | "virtiofs" | "erofs");
    let kinds = spec
        .Mounts
        .iter()
        .map(|mount| mount.type_.as_str())
        .filter(|kind| named(kind));
    agent.modules.load(kinds).await
}

/// The file behind the container's termination message, seen from the agent.
fn termination_log(spec: &oci::Spec) -> Option<PathBuf> {
    let path = spec.Annotations.get(TERMINATION_LOG)?;
    let mount = spec
        .Mounts
        .iter()
        .find(|mount| &mount.destination == path)?;
    Some(PathBuf::from(&mount.source)).filter(|source| Path::is_absolute(source))
}
