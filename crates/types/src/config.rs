//! What a caller asks for: the configuration of a sandbox and of its containers.
//!
//! Values here are already valid; they are stored with the sandbox and never change.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::{
    CgroupPath, ContainerId, Error, Mebibytes, NetworkModel, RateLimit, SandboxId, VcpuCount,
};

/// Everything needed to make a sandbox, and to make it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// The sandbox's id.
    pub id: SandboxId,
    /// The guest's host name; the id when absent.
    pub hostname: Option<String>,
    /// The virtual machine's memory.
    pub memory: Mebibytes,
    /// The virtual machine's CPUs.
    pub vcpus: VcpuCount,
    /// What the machine boots.
    pub boot: BootConfig,
    /// How the guest's agent behaves.
    pub agent: AgentConfig,
    /// The network namespace.
    pub network: NetworkConfig,
    /// When the sandbox ends.
    pub lifetime: Lifetime,
    /// The containers created with the sandbox, in order.
    pub containers: Vec<ContainerConfig>,
    /// Free annotations of the caller.
    pub annotations: BTreeMap<String, String>,
}

/// Kernel, root file system and kernel parameters of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// The kernel: an uncompressed ELF with a PVH note boots fastest.
    pub kernel: PathBuf,
    /// What the agent is in.
    #[serde(flatten)]
    pub root: GuestRoot,
    /// Further words for the kernel command line; later ones win.
    pub kernel_params: Vec<String>,
    /// What runs the machine, where that is not the configuration's.
    #[serde(default, skip_serializing_if = "HypervisorOverride::is_empty")]
    pub hypervisor: HypervisorOverride,
}

/// Another hypervisor for one sandbox. A backend without
/// [`own_program`](crate::Capabilities::own_program) refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HypervisorOverride {
    /// Its program, absolute; the configured one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
    /// Further arguments, after all others. They are not looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

impl HypervisorOverride {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.program.is_none() && self.arguments.is_empty()
    }
}

/// What the guest's agent is in: one of two, never both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestRoot {
    /// An initial RAM disk, whose `/init` leads to the agent.
    Initrd(PathBuf),
    /// A disk image with a partition table, whose first partition is the root file system (ext4,
    /// systemd), as kata-containers builds them. It is used read-only and may be shared.
    Image(PathBuf),
}

/// What to expect of the guest's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// How the host learns that the agent is up.
    pub start: AgentStart,
}

/// How the host learns that the agent is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentStart {
    /// The agent calls the host first, so that nothing polls: ours does.
    Announces,
    /// The host tries to connect until the agent answers: a stock kata-agent.
    Polled,
}

/// Where the virtual machine's network is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// A namespace that exists; one is made for the sandbox when absent.
    pub namespace: Option<PathBuf>,
    /// The machine has no network and stays in the namespace of whoever starts it; a `namespace`
    /// beside it is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// The sandbox was promised a network: when its containers are started and no interface has
    /// appeared in its namespace, that is an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Interfaces that appear in the namespace later are connected, and those that vanish are taken
    /// from the machine, for as long as it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// How frames get from the namespace's interfaces to the machine.
    #[serde(default, skip_serializing_if = "is_default")]
    pub model: NetworkModel,
    /// Queues of each interface; one for each CPU when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<NonZeroU16>,
    /// Use the kernel's vhost-net for the data path where the host has it.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub vhost: bool,
    /// The rate of every interface that `rates` does not name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rate: RateLimit,
    /// The rates of single interfaces, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, RateLimit>,
    /// Sockets of user-space switches (vhost-user), by the name of the interface that carries the
    /// addresses of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vhost_user: BTreeMap<String, PathBuf>,
    /// Lines of the guest's `resolv.conf`(5); it keeps its own when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            namespace: None,
            disabled: false,
            required: false,
            follow: false,
            model: NetworkModel::default(),
            queues: None,
            vhost: yes(),
            rate: RateLimit::default(),
            rates: BTreeMap::new(),
            vhost_user: BTreeMap::new(),
            dns: Vec::new(),
        }
    }
}

const fn yes() -> bool {
    true
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When the sandbox ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// With its first container: the virtual machine is stopped when that container ends.
    FirstContainer,
    /// Only by a stop or delete.
    Explicit,
}

/// Whether a sandbox outlives its creator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attachment {
    /// It ends, and is deleted, when the creator's handle is dropped or its process dies.
    Attached,
    /// It stays until it is stopped or its lifetime ends.
    Detached,
}

/// A container within a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// The container's id.
    pub id: ContainerId,
    /// The root file system.
    pub rootfs: RootFs,
    /// The OCI bundle that the container comes from, as hooks are told; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<PathBuf>,
    /// The host's cgroup that the processes which stand for the container are put in; none when
    /// absent. It is removed with the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupPath>,
    /// The runtime specification as the caller gave it (OCI runtime-spec 1.2). Its bind mounts name
    /// paths of the host.
    pub spec: Spec,
}

impl ContainerConfig {
    /// Whether the init process gets a terminal.
    pub fn has_terminal(&self) -> bool {
        self.spec
            .process()
            .as_ref()
            .and_then(|process| process.terminal())
            .unwrap_or(false)
    }
}

/// Where a container's root file system is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RootFs {
    /// A directory of the host, absolute; it is shared with the guest.
    Host(PathBuf),
    /// A directory that the guest has already, such as one of its image; nothing is shared.
    Guest {
        /// Its path in the guest, absolute.
        guest: PathBuf,
    },
}

impl RootFs {
    /// The directory on the host, if it is there.
    pub fn host(&self) -> Option<&std::path::Path> {
        match self {
            Self::Host(path) => Some(path),
            Self::Guest { .. } => None,
        }
    }
}

impl From<PathBuf> for RootFs {
    fn from(path: PathBuf) -> Self {
        Self::Host(path)
    }
}

/// A file or directory of the host inside a container, in text `host:guest[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The path on the host, absolute.
    pub source: PathBuf,
    /// The path in the container, absolute.
    pub destination: PathBuf,
    /// Writes by the container are refused.
    pub read_only: bool,
}

impl FromStr for Volume {
    type Err = Error;

    /// Parses `host:guest` or `host:guest:ro|rw`; both paths absolute.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Err(Error::invalid("volume", text, reason));
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, read_only) = match parts[..] {
            [source, destination] | [source, destination, "rw"] => (source, destination, false),
            [source, destination, "ro"] => (source, destination, true),
            [_, _, _] => return refuse("the third part is ro or rw"),
            _ => return refuse("write host:guest or host:guest:ro, for example /srv/www:/www:ro"),
        };
        if !source.starts_with('/') {
            return refuse("the path on the host is not absolute");
        }
        if !destination.starts_with('/') {
            return refuse("the path in the container is not absolute");
        }
        Ok(Self {
            source: source.into(),
            destination: destination.into(),
            read_only,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_as_people_write_them() {
        let volume = |read_only| Volume {
            source: "/srv".into(),
            destination: "/mnt".into(),
            read_only,
        };
        assert_eq!("/srv:/mnt".parse(), Ok(volume(false)));
        assert_eq!("/srv:/mnt:rw".parse(), Ok(volume(false)));
        assert_eq!("/srv:/mnt:ro".parse(), Ok(volume(true)));
        for text in [
            "",
            "/srv",
            "srv:/mnt",
            "/srv:mnt",
            "/srv:/mnt:xx",
            "/a:/b:ro:z",
            ":",
        ] {
            assert!(text.parse::<Volume>().is_err(), "{text}");
        }
    }
}
