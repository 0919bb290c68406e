//! Which namespaces a container makes, joins, or shares with the agent.

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxNamespaceType as Kind};
use serde::{Deserialize, Serialize};

use crate::container::error::{EngineError, Result};

/// Namespaces of the sandbox, as files of a `/proc/PID/ns` folder or binds of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SharedNamespaces {
    /// Joined by containers that ask for an ipc namespace.
    pub(crate) ipc: Option<PathBuf>,
    /// Joined by containers that ask for a uts namespace.
    pub(crate) uts: Option<PathBuf>,
    /// Joined in place of a pid namespace of the container's own.
    pub(crate) pid: Option<PathBuf>,
}

/// One namespace to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Join {
    /// `CLONE_NEW*` flag of its kind.
    pub(crate) kind: u64,
    /// Its file.
    pub(crate) path: PathBuf,
}

/// How the process gets into its namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespacePlan {
    /// `CLONE_NEW*` flags of what it is cloned into.
    pub(crate) clone: u64,
    /// Pid namespace that it is cloned into.
    pub(crate) join_pid: Option<PathBuf>,
    /// What it joins by itself.
    pub(crate) join: Vec<Join>,
    /// Whether it leaves the agent's cgroup namespace; this must come after it is in its cgroup.
    pub(crate) new_cgroup: bool,
}

impl NamespacePlan {
    /// Whether the container has a network namespace of its own, with a loopback that is down.
    pub(crate) fn new_network(&self) -> bool {
        self.clone & flag(libc::CLONE_NEWNET) != 0
    }
}

fn flag(flag: i32) -> u64 {
    flag as u64
}

/// Mount and pid namespaces are always made; network, cgroup, ipc and uts as listed; ipc, uts and
/// pid are those of the sandbox where it has some.
pub(super) fn namespaces(linux: &Linux, shared: &SharedNamespaces) -> Result<NamespacePlan> {
    let mut plan = NamespacePlan {
        clone: flag(libc::CLONE_NEWNS),
        ..NamespacePlan::default()
    };
    let mut pid = shared.pid.clone();
    let mut seen = Vec::new();
    for namespace in linux.namespaces().iter().flatten() {
        let kind = namespace.typ();
        if seen.contains(&kind) {
            return Err(EngineError::invalid(format!(
                "linux.namespaces: {kind} is there twice"
            )));
        }
        seen.push(kind);
        let path = namespace
            .path()
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        match kind {
            Kind::Mount if path.is_none() => {}
            Kind::Mount => return Err(refused("a mount namespace cannot be joined")),
            Kind::Pid => pid = pid.or(path),
            Kind::Ipc => plan.enter(libc::CLONE_NEWIPC, shared.ipc.clone().or(path)),
            Kind::Uts => plan.enter(libc::CLONE_NEWUTS, shared.uts.clone().or(path)),
            Kind::Network => plan.enter(libc::CLONE_NEWNET, path),
            Kind::Cgroup if path.is_none() => plan.new_cgroup = true,
            Kind::Cgroup => plan.enter(libc::CLONE_NEWCGROUP, path),
            Kind::User => return Err(refused("user namespaces are not supported")),
            Kind::Time => return Err(refused("time namespaces are not supported")),
        }
    }
    match pid {
        Some(path) => plan.join_pid = Some(path),
        None => plan.clone |= flag(libc::CLONE_NEWPID),
    }
    Ok(plan)
}

impl NamespacePlan {
    fn enter(&mut self, kind: i32, path: Option<PathBuf>) {
        match path {
            Some(path) => self.join.push(Join {
                kind: flag(kind),
                path,
            }),
            None => self.clone |= flag(kind),
        }
    }
}

fn refused(why: &str) -> EngineError {
    EngineError::invalid(format!("linux.namespaces: {why}"))
}
