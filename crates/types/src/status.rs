//! What a sandbox and its containers are doing, in a form that is stored and shown.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, ContainerState, ProcessIdentity, SandboxId, SandboxState};

/// How a process ended, as a shell would show it: the exit code, or 128 plus the signal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExitStatus(pub i32);

impl ExitStatus {
    /// The command does not exist.
    pub const NOT_FOUND: Self = Self(127);
    /// The machine or its agent was lost before the process told its status.
    pub const LOST: Self = Self(255);

    /// The status clamped to what a process can exit with.
    pub fn code(self) -> u8 {
        u8::try_from(self.0).unwrap_or(255)
    }
}

/// What the guest told of itself when it was set up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestFacts {
    /// The agent's release.
    pub agent_version: String,
    /// The agent is process 1 of the guest.
    pub agent_is_init: bool,
    /// Seccomp filters can be applied in the guest.
    pub seccomp: bool,
    /// Names of extra services and features.
    pub features: Vec<String>,
}

/// One container, as stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// The container's id.
    pub id: ContainerId,
    /// Its state.
    pub state: ContainerState,
    /// The status of its init process, once it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<ExitStatus>,
    /// The process that stands for it on the host, where that is not the sandbox's supervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<ProcessIdentity>,
    /// When it was created, in milliseconds since the Unix epoch; earlier versions did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// The directory that it was made from: its bundle, else its root file system on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<PathBuf>,
    /// The annotations of its specification.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One sandbox, as stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// The sandbox's id.
    pub id: SandboxId,
    /// Its state.
    pub state: SandboxState,
    /// The backend's name.
    pub hypervisor: String,
    /// The supervisor, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<ProcessIdentity>,
    /// Why it failed, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How many times its record was stored: it grows with every change.
    pub generation: u64,
    /// Free annotations of the caller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its containers, in the order of their creation.
    pub containers: Vec<ContainerStatus>,
}

impl SandboxStatus {
    /// The process on the host that stands for a container while it lives: its stand-in, or for the
    /// first container the sandbox's supervisor.
    pub fn pid_of(&self, container: &ContainerId) -> Option<u32> {
        let index = self
            .containers
            .iter()
            .position(|one| one.id == *container)?;
        let known = &self.containers[index];
        if !self.state.is_live() || known.state == ContainerState::Stopped {
            return None;
        }
        let own = known.stand_in.or(self.supervisor.filter(|_| index == 0));
        own.map(|process| process.pid)
    }
}
