//! The host cgroups of containers: the processes that stand for them are in these, and with the
//! first container's all that makes its machine, so that what is accounted there is the truth.

use virtcontainers_cgroup::{Cgroup, Host, OWNER, is_of_container};
use virtcontainers_store::Ledger;
use virtcontainers_types::{ContainerConfig, ContainerId, UndoSink};

use crate::error::{Context, Error};
use crate::undo;

/// Opens a container's cgroup; `None` when it has none. Changes nothing, so that what cannot be is
/// refused before anything happens.
pub(crate) fn open(container: &ContainerConfig) -> Result<Option<Cgroup>, Error> {
    let Some(path) = &container.cgroup else {
        return Ok(None);
    };
    let opened = Host::detect().and_then(|host| Cgroup::open(&host, path));
    opened
        .map(Some)
        .during(|| format!("cannot use the cgroup {path} of container {}", container.id))
}

/// Makes a container's cgroup, and puts the process in it that stands for the container.
pub(crate) fn enter(
    container: &ContainerConfig,
    pid: u32,
    ledger: &dyn UndoSink,
) -> Result<(), Error> {
    let Some(cgroup) = open(container)? else {
        return Ok(());
    };
    let created = cgroup.create(&container.id, pid, ledger);
    created.during(|| format!("cannot make the cgroup of container {}", container.id))
}

/// Puts one more process in a container's cgroup.
pub(crate) fn join(container: &ContainerConfig, pid: u32) -> Result<(), Error> {
    let Some(cgroup) = open(container)? else {
        return Ok(());
    };
    let added = cgroup.add(pid);
    added.during(|| format!("cannot enter the cgroup of container {}", container.id))
}

/// Removes what the ledger tells of a container's cgroup, and strikes it out.
pub(crate) fn remove(ledger: &Ledger, container: &ContainerId) -> Result<(), Error> {
    let failed = || format!("cannot remove the cgroup of container {container}");
    let mut entries = undo::read(ledger)?;
    entries.retain(|entry| entry.owner == OWNER && is_of_container(entry, container));
    for entry in entries.iter().rev() {
        virtcontainers_cgroup::undo(entry).during(failed)?;
    }
    match entries.is_empty() {
        true => Ok(()),
        false => ledger.forget(&entries).during(failed),
    }
}
