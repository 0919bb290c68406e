//! What has to be done for a container or an exec, worked out before anything is done.
//!
//! [`container`] and [`exec`] are pure: they read an OCI specification and either refuse it or
//! give a plan of plain numbers and strings, which the new process executes step by step.

mod devices;
mod hooks;
mod mounts;
mod namespaces;
mod process;
mod seccomp;
mod sysctl;

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

pub(crate) use devices::{NodeKind, NodePlan};
pub(crate) use hooks::HookPlan;
pub(crate) use mounts::{MountKind, MountPlan, Propagation};
pub(crate) use namespaces::{NamespacePlan, SharedNamespaces};
pub(crate) use process::{Capabilities, ProcessPlan, TerminalPlan, UserPlan, exec};
pub(crate) use seccomp::SeccompPlan;
pub(crate) use sysctl::SysctlPlan;

use super::error::{EngineError, Result};

/// What the engine itself knows about a container to be made.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// Namespaces of the sandbox that it joins.
    pub(crate) shared: &'a SharedNamespaces,
    /// Folder whose contents come from the host: paths below it may not contain links.
    pub(crate) run_dir: &'a Path,
    /// Folder of its cgroup.
    pub(crate) cgroup: &'a Path,
    /// Its terminal, if it gets one: rows and columns, where known.
    pub(crate) terminal: Option<TerminalPlan>,
}

/// All that the first process of a container has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerPlan {
    /// Its id, for hooks.
    pub(crate) id: String,
    /// Annotations, for hooks.
    pub(crate) annotations: Vec<(String, String)>,
    /// Namespaces to join or make.
    pub(crate) namespaces: NamespacePlan,
    /// Host name to set.
    pub(crate) hostname: Option<String>,
    /// NIS domain name to set.
    pub(crate) domainname: Option<String>,
    /// Root file system, as the agent sees it.
    pub(crate) rootfs: PathBuf,
    /// Whether the root file system itself is made read-only.
    pub(crate) root_readonly: bool,
    /// Propagation of the root mount, when set-up is done.
    pub(crate) root_propagation: Option<Propagation>,
    /// Folder whose contents come from the host.
    pub(crate) run_dir: PathBuf,
    /// Folder of its cgroup, as the agent sees it.
    pub(crate) cgroup: PathBuf,
    /// Mounts, in order.
    pub(crate) mounts: Vec<MountPlan>,
    /// Device nodes beside the usual ones.
    pub(crate) nodes: Vec<NodePlan>,
    /// Whether `/dev` is the container's own, to be filled with the usual nodes and links.
    pub(crate) fill_dev: bool,
    /// Kernel parameters.
    pub(crate) sysctls: Vec<SysctlPlan>,
    /// Paths to hide.
    pub(crate) masked: Vec<PathBuf>,
    /// Paths to make read-only.
    pub(crate) readonly: Vec<PathBuf>,
    /// Programs to run in the container's namespaces, before its root is.
    pub(crate) create_hooks: Vec<HookPlan>,
    /// Programs to run in the container, before its own.
    pub(crate) start_hooks: Vec<HookPlan>,
    /// The program itself.
    pub(crate) process: ProcessPlan,
}

/// All that one more process of a container has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecPlan {
    /// The program.
    pub(crate) process: ProcessPlan,
}

/// Reads a specification.
///
/// # Errors
/// Invalid, naming the property, for everything that can be seen to be wrong or that this engine
/// cannot do: it refuses what it would otherwise have to ignore.
pub(crate) fn container(spec: &Spec, facts: &Circumstances<'_>) -> Result<ContainerPlan> {
    let root = spec.root().as_ref().ok_or_else(|| missing("root"))?;
    let linux = spec.linux().as_ref().ok_or_else(|| missing("linux"))?;
    let program = spec.process().as_ref().ok_or_else(|| missing("process"))?;
    if linux
        .mount_label()
        .as_ref()
        .is_some_and(|label| !label.is_empty())
    {
        return Err(EngineError::invalid(
            "linux.mountLabel: SELinux is not in this guest",
        ));
    }
    let mut process = process::process(program, facts.terminal)?;
    process.seccomp = linux.seccomp().as_ref().map(seccomp::compile).transpose()?;
    let namespaces = namespaces::namespaces(linux, facts.shared)?;
    let mounts = mounts::mounts(spec.mounts().as_deref().unwrap_or_default())?;
    let name = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    Ok(ContainerPlan {
        id: facts.id.to_owned(),
        annotations: spec
            .annotations()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
        hostname: name(spec.hostname()),
        domainname: name(spec.domainname()),
        rootfs: absolute("root.path", root.path())?,
        root_readonly: root.readonly().unwrap_or(false),
        root_propagation: linux
            .rootfs_propagation()
            .as_deref()
            .filter(|word| !word.is_empty())
            .map(mounts::root_propagation)
            .transpose()?,
        run_dir: facts.run_dir.to_owned(),
        cgroup: facts.cgroup.to_owned(),
        fill_dev: mounts::own_dev(&mounts),
        nodes: devices::nodes(linux.devices().as_deref().unwrap_or_default())?,
        sysctls: sysctl::sysctls(linux.sysctl().as_ref())?,
        masked: paths("linux.maskedPaths", linux.masked_paths().as_deref())?,
        readonly: paths("linux.readonlyPaths", linux.readonly_paths().as_deref())?,
        create_hooks: hooks::create(spec.hooks().as_ref())?,
        start_hooks: hooks::start(spec.hooks().as_ref())?,
        namespaces,
        mounts,
        process,
    })
}

fn missing(property: &str) -> EngineError {
    EngineError::invalid(format!("the specification has no {property}"))
}

fn paths(property: &str, paths: Option<&[String]>) -> Result<Vec<PathBuf>> {
    paths
        .unwrap_or_default()
        .iter()
        .map(|path| absolute(property, Path::new(path)))
        .collect()
}

/// A path from the root of the container (or, for the root itself, of the guest) that cannot
/// climb by itself.
fn absolute(property: &str, path: &Path) -> Result<PathBuf> {
    let text = path.to_str().ok_or_else(|| {
        EngineError::invalid(format!("{property}: {} is not UTF-8", path.display()))
    })?;
    no_nul(property, text)?;
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if !path.is_absolute() || climbs {
        return Err(EngineError::invalid(format!(
            "{property}: {text:?} must be an absolute path without \"..\""
        )));
    }
    Ok(path.to_owned())
}

/// The kernel takes strings that end at the first zero byte.
fn no_nul(property: &str, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(EngineError::invalid(format!(
            "{property}: {text:?} has a zero byte"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
