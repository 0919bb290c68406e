//! What is stored of a sandbox: an envelope around the configuration and opaque blobs.

use serde::{Deserialize, Serialize};
use virtcontainers_types::{
    ContainerStatus, GuestFacts, ProcessIdentity, SandboxConfig, SandboxId, SandboxState,
    SandboxStatus,
};

use crate::BootId;

/// The format that this version writes. Older ones are read.
pub const FORMAT: u32 = 1;

/// Data of somebody else's: stored and handed back, never looked into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blob {
    /// The version of the owner's format.
    pub version: u32,
    /// The owner's data.
    pub data: serde_json::Value,
}

/// Everything that is stored of a sandbox.
///
/// Format, generation and boot are the store's: they are set when the record is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub(crate) format: u32,
    pub(crate) generation: u64,
    pub(crate) boot: Option<BootId>,
    #[serde(skip)]
    pub(crate) earlier_boot: bool,
    id: SandboxId,
    /// The lifecycle state; produced by `types::decide` alone.
    pub state: SandboxState,
    /// When the sandbox was created, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// The name of the backend that its machine belongs to.
    pub hypervisor: String,
    /// The process that watches it, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<ProcessIdentity>,
    /// Why it failed, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its containers, in the order of their creation.
    pub containers: Vec<ContainerStatus>,
    /// What the guest told of itself, once it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestFacts>,
    /// What the backend needs to adopt the machine, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Blob>,
    /// What the runtime decided before the first effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Blob>,
    /// What the caller asked for. Last, since it is the longest.
    pub config: SandboxConfig,
}

impl Record {
    /// A record that was never stored. `created_at` is in milliseconds since the Unix epoch.
    pub fn new(
        state: SandboxState,
        config: SandboxConfig,
        hypervisor: impl Into<String>,
        created_at: u64,
    ) -> Self {
        Self {
            format: FORMAT,
            generation: 0,
            boot: None,
            earlier_boot: false,
            id: config.id.clone(),
            state,
            created_at,
            hypervisor: hypervisor.into(),
            supervisor: None,
            failure: None,
            containers: Vec::new(),
            guest: None,
            machine: None,
            plan: None,
            config,
        }
    }

    /// The sandbox.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// How many times the record was committed; 0 when it never was.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it was last committed during this boot of the host. When not, no process, mount or
    /// link that it tells of exists any more, and whatever has such a pid now is somebody else.
    pub fn is_of_this_boot(&self) -> bool {
        !self.earlier_boot
    }

    /// The record in the form in which it is shown.
    pub fn status(&self) -> SandboxStatus {
        SandboxStatus {
            id: self.id.clone(),
            state: self.state,
            hypervisor: self.hypervisor.clone(),
            supervisor: self.supervisor,
            failure: self.failure.clone(),
            containers: self.containers.clone(),
        }
    }
}

/// A record without its configuration and blobs: what lists and status queries need, read without
/// a lock and without parsing the rest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Summary {
    pub(crate) format: u32,
    pub(crate) generation: u64,
    pub(crate) boot: Option<BootId>,
    #[serde(skip)]
    pub(crate) earlier_boot: bool,
    pub(crate) id: SandboxId,
    /// The lifecycle state.
    pub state: SandboxState,
    /// When the sandbox was created, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// The name of the backend that its machine belongs to.
    pub hypervisor: String,
    /// The process that watches it, while there is one.
    #[serde(default)]
    pub supervisor: Option<ProcessIdentity>,
    /// Why it failed, when it did.
    #[serde(default)]
    pub failure: Option<String>,
    /// Its containers, in the order of their creation.
    pub containers: Vec<ContainerStatus>,
}

impl Summary {
    /// As [`Record::generation`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// As [`Record::is_of_this_boot`].
    pub fn is_of_this_boot(&self) -> bool {
        !self.earlier_boot
    }

    /// The summary in the form in which it is shown.
    pub fn into_status(self) -> SandboxStatus {
        SandboxStatus {
            id: self.id,
            state: self.state,
            hypervisor: self.hypervisor,
            supervisor: self.supervisor,
            failure: self.failure,
            containers: self.containers,
        }
    }
}
