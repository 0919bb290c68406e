//! From an OCI runtime specification to what is sent to the guest: what is carried, what is
//! rewritten, and what has no meaning there.
//!
//! The caller has already replaced what only the host knows: mount sources are guest paths, user
//! names are numbers. The rest is decided here, without any effect, so that everything that the
//! guest cannot do is known before anything is started.

mod linux;
mod mounts;
mod process;
mod resources;
mod seccomp;

use std::collections::BTreeMap;

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;
use virtcontainers_types::ContainerId;

use crate::error::{Error, Result};
pub use resources::resources;

/// How an agent reads specifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As kata-agent 4.1 does: values that it would distort are left out. Those are process
    /// limits, device rules, block device limits and every "unlimited" (-1).
    Kata,
    /// As the specification says; our agent.
    Exact,
}

/// What a container is in its sandbox; kata-agent looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The only one.
    Single,
    /// The one that holds a pod's namespaces.
    PodSandbox,
    /// A further one in a pod.
    PodContainer,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single_container",
            Self::PodSandbox => "pod_sandbox",
            Self::PodContainer => "pod_container",
        }
    }
}

/// What the specification itself does not say.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The container.
    pub id: &'a ContainerId,
    /// The root file system's path in the guest: absolute, existing, no symbolic link in it.
    pub root: &'a str,
    /// What the container is in its sandbox.
    pub role: Role,
    /// How the agent reads specifications.
    pub dialect: Dialect,
    /// The agent can apply system call filters. A filter is left out, with a note, when not.
    pub seccomp: bool,
    /// The sandbox has shared memory of its own at [`SANDBOX_SHM`](crate::guest_path::SANDBOX_SHM):
    /// `/dev/shm` of the container is bound to it.
    pub shared_shm: bool,
}

/// A specification for the guest.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestSpec {
    /// What is sent.
    pub spec: wire::Spec,
    /// The container joins the pid namespace of the sandbox's first one.
    pub shares_pids: bool,
    /// What was asked for and is not sent.
    pub left_out: Vec<LeftOut>,
}

/// A wish of the specification that does not reach the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The property, as the specification writes it, such as `linux.resources.pids`.
    pub property: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Collects what is left out.
#[derive(Debug, Default)]
struct Notes(Vec<LeftOut>);

impl Notes {
    fn add_if(&mut self, asked: bool, property: &'static str, reason: &'static str) {
        if asked {
            self.0.push(LeftOut { property, reason });
        }
    }
}

const NO_FIELD: &str = "the protocol has no field for it";
const OF_HOST: &str = "it names things of the host";
const DISTORTED: &str = "kata-agent would distort it";

/// Writes a specification for the guest.
///
/// Fails with `Invalid` when something is missing without which no agent makes a container: the
/// process with at least one argument, a source or type of a mount, absolute paths; with
/// `Unsupported` for what would silently weaken the container, such as a system call filter that
/// asks a host process.
pub fn container(spec: &oci::Spec, target: &Target<'_>) -> Result<GuestSpec> {
    let refuse = |reason: String| Error::refused("spec", reason).of_container(target.id.as_str());
    let mut notes = Notes::default();
    let Some(process) = spec.process() else {
        return Err(refuse("the specification has no process".to_owned()));
    };
    let mut process = process::process(process, target.dialect, &mut notes).map_err(refuse)?;
    // The agent requires them; empty lists are none.
    process.Capabilities.mut_or_insert_default();

    let empty = oci::Linux::default();
    let linux = spec.linux().as_ref().unwrap_or(&empty);
    notes.add_if(spec.domainname().is_some(), "domainname", NO_FIELD);
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mounts = mounts::mounts(mounts, target.shared_shm, target.dialect, &mut notes);
    let mounts = mounts.map_err(refuse)?;
    let guest = wire::Spec {
        Version: spec.version().clone(),
        Process: Some(process).into(),
        Root: Some(wire::Root {
            Path: target.root.to_owned(),
            Readonly: spec
                .root()
                .as_ref()
                .and_then(oci::Root::readonly)
                .unwrap_or(false),
            ..Default::default()
        })
        .into(),
        Hostname: spec.hostname().clone().unwrap_or_default(),
        Mounts: mounts,
        Hooks: hooks(spec.hooks().as_ref()).into(),
        Annotations: annotations(spec, target),
        Linux: Some(linux::linux(linux, target, &mut notes)?).into(),
        ..Default::default()
    };
    Ok(GuestSpec {
        spec: guest,
        shares_pids: linux::shares_pids(linux),
        left_out: notes.0,
    })
}

/// Writes a process to be exec'd. Without capabilities of its own it gets the container's.
///
/// Fails with `Invalid` when there is no argument or the working directory is not absolute.
pub fn exec(process: &oci::Process, dialect: Dialect) -> Result<(wire::Process, Vec<LeftOut>)> {
    let mut notes = Notes::default();
    let process = process::process(process, dialect, &mut notes)
        .map_err(|reason| Error::refused("spec", reason))?;
    Ok((process, notes.0))
}

/// Hooks that run in the container are the guest's; all others are run by the host. An empty
/// message would keep the agent from its own hooks, so there is none then.
fn hooks(hooks: Option<&oci::Hooks>) -> Option<wire::Hooks> {
    let start = hooks?.start_container().as_deref().unwrap_or_default();
    if start.is_empty() {
        return None;
    }
    let hook = |hook: &oci::Hook| wire::Hook {
        Path: hook.path().display().to_string(),
        Args: hook.args().clone().unwrap_or_default(),
        Env: hook.env().clone().unwrap_or_default(),
        Timeout: hook.timeout().unwrap_or(0),
        ..Default::default()
    };
    Some(wire::Hooks {
        StartContainer: start.iter().map(hook).collect(),
        ..Default::default()
    })
}

fn annotations(spec: &oci::Spec, target: &Target<'_>) -> BTreeMap<String, String> {
    let own = spec.annotations().clone().unwrap_or_default();
    let mut all: BTreeMap<String, String> = own.into_iter().collect();
    let role = target.role.as_str().to_owned();
    all.insert("io.katacontainers.pkg.oci.container_type".to_owned(), role);
    all
}

#[cfg(test)]
mod tests;
