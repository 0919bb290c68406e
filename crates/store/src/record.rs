//! What is stored of a sandbox: an envelope around the configuration and opaque blobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{
    ContainerConfig, ContainerState, ContainerStatus, GuestFacts, ProcessIdentity, SandboxConfig,
    SandboxId, SandboxState, SandboxStatus,
};

use crate::error::Problem;
use crate::{BootId, Error, Stored};

/// The format that this version writes. Older ones are read.
pub const FORMAT: u32 = 2;

/// Data of somebody else's: stored and handed back, never looked into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blob {
    /// The version of the owner's format.
    pub version: u32,
    /// The owner's data.
    pub data: serde_json::Value,
}

/// A container of a sandbox: what it does, and what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerRecord {
    /// Its id, state and exit status.
    pub status: ContainerStatus,
    /// What the caller asked for.
    pub config: Stored<ContainerConfig>,
}

impl ContainerRecord {
    /// A container that was not started yet. When it was created is for the caller to say.
    ///
    /// Errors: `Internal` when the configuration cannot be written as JSON.
    pub fn new(config: ContainerConfig) -> Result<Self, Error> {
        Self::assemble(config, None)
            .map_err(|source| Error::new("add a container", Problem::Encode { source }))
    }

    fn assemble(config: ContainerConfig, created_at: Option<u64>) -> serde_json::Result<Self> {
        let annotations = config.spec.annotations().clone();
        let status = ContainerStatus {
            id: config.id.clone(),
            state: ContainerState::Created,
            exit_status: None,
            stand_in: None,
            created_at,
            bundle: config
                .bundle
                .clone()
                .or_else(|| config.rootfs.host().map(Into::into)),
            annotations: annotations.into_iter().flatten().collect(),
        };
        let config = Stored::encode(config)?;
        Ok(Self { status, config })
    }
}

/// Everything that is stored of a sandbox.
///
/// Format, generation and boot are the store's: they are set when the record is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub(crate) generation: u64,
    pub(crate) boot: Option<BootId>,
    pub(crate) earlier_boot: bool,
    pub(crate) id: SandboxId,
    /// The lifecycle state; produced by `types::decide` alone.
    pub state: SandboxState,
    /// When the sandbox was created, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// The name of the backend that its machine belongs to.
    pub hypervisor: String,
    /// The process that watches it, while there is one.
    pub supervisor: Option<ProcessIdentity>,
    /// Why it failed, when it did.
    pub failure: Option<String>,
    /// How many times it came up.
    pub boots: u32,
    /// The number of the last of the runtime's intents, which are in the ledger, that was carried
    /// out or taken back.
    pub settled: u64,
    /// Free annotations of the caller.
    pub annotations: BTreeMap<String, String>,
    /// Its containers, in the order of their creation.
    pub containers: Vec<ContainerRecord>,
    /// What the guest told of itself, once it did.
    pub guest: Option<GuestFacts>,
    /// What the backend needs to adopt the machine, once there is one.
    pub machine: Option<Blob>,
    /// How the runtime connected the machine to its network, while there is one.
    pub network: Option<Blob>,
    /// What the runtime decided before the first effect.
    pub plan: Option<Blob>,
    /// What the caller asked for, without containers and annotations: they are in the fields above.
    pub config: Stored<SandboxConfig>,
}

impl Record {
    /// A record that was never stored. `created_at` is in milliseconds since the Unix epoch.
    /// Containers and annotations of `config` go to the fields of their own, the containers as
    /// created ones.
    ///
    /// Errors: `Internal` when the configuration cannot be written as JSON.
    pub fn new(
        state: SandboxState,
        config: SandboxConfig,
        hypervisor: impl Into<String>,
        created_at: u64,
    ) -> Result<Self, Error> {
        Self::assemble(state, config, hypervisor.into(), created_at)
            .map_err(|source| Error::new("make a record", Problem::Encode { source }))
    }

    pub(crate) fn assemble(
        state: SandboxState,
        mut config: SandboxConfig,
        hypervisor: String,
        created_at: u64,
    ) -> serde_json::Result<Self> {
        let containers = std::mem::take(&mut config.containers);
        let annotations = std::mem::take(&mut config.annotations);
        Ok(Self {
            generation: 0,
            boot: None,
            earlier_boot: false,
            id: config.id.clone(),
            state,
            created_at,
            hypervisor,
            supervisor: None,
            failure: None,
            boots: 0,
            settled: 0,
            annotations,
            containers: containers
                .into_iter()
                .map(|config| ContainerRecord::assemble(config, Some(created_at)))
                .collect::<Result<_, _>>()?,
            guest: None,
            machine: None,
            network: None,
            plan: None,
            config: Stored::encode(config)?,
        })
    }

    /// The whole configuration, containers and annotations as they are now.
    ///
    /// Errors: `Corrupt` when a part cannot be understood or is of somebody else.
    pub fn to_config(&self) -> Result<SandboxConfig, Error> {
        let mut config = self.config.get()?.clone();
        if config.id != self.id {
            return Err(self.foreign(config.id.as_str()));
        }
        config.annotations = self.annotations.clone();
        config.containers = Vec::with_capacity(self.containers.len());
        for container in &self.containers {
            let found = container.config.get()?;
            if found.id != container.status.id {
                return Err(self.foreign(found.id.as_str()));
            }
            config.containers.push(found.clone());
        }
        Ok(config)
    }

    fn foreign(&self, found: &str) -> Error {
        let found = found.to_owned();
        Error::of(
            "read the configuration of",
            &self.id,
            Problem::Mixed { found },
        )
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
        let statuses = self.containers.iter().map(|one| one.status.clone());
        SandboxStatus {
            id: self.id.clone(),
            state: self.state,
            hypervisor: self.hypervisor.clone(),
            supervisor: self.supervisor,
            failure: self.failure.clone(),
            generation: self.generation,
            annotations: self.annotations.clone(),
            containers: statuses.collect(),
        }
    }
}

/// A record without its configurations and plan: what lists and status queries need, read without
/// a lock and without even looking at the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub(crate) generation: u64,
    pub(crate) boot: Option<BootId>,
    pub(crate) earlier_boot: bool,
    pub(crate) id: SandboxId,
    /// The lifecycle state.
    pub state: SandboxState,
    /// When the sandbox was created, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// The name of the backend that its machine belongs to.
    pub hypervisor: String,
    /// The process that watches it, while there is one.
    pub supervisor: Option<ProcessIdentity>,
    /// Why it failed, when it did.
    pub failure: Option<String>,
    /// How many times it came up.
    pub boots: u32,
    /// The number of the last of the runtime's intents, which are in the ledger, that was carried
    /// out or taken back.
    pub settled: u64,
    /// Free annotations of the caller.
    pub annotations: BTreeMap<String, String>,
    /// Its containers, in the order of their creation.
    pub containers: Vec<ContainerStatus>,
    /// What the guest told of itself, once it did.
    pub guest: Option<GuestFacts>,
    /// What the backend needs to adopt the machine, once there is one.
    pub machine: Option<Blob>,
    /// How the runtime connected the machine to its network, while there is one.
    pub network: Option<Blob>,
}

impl From<Record> for Summary {
    fn from(record: Record) -> Self {
        let statuses = record.containers.into_iter().map(|one| one.status);
        Self {
            generation: record.generation,
            boot: record.boot,
            earlier_boot: record.earlier_boot,
            id: record.id,
            state: record.state,
            created_at: record.created_at,
            hypervisor: record.hypervisor,
            supervisor: record.supervisor,
            failure: record.failure,
            boots: record.boots,
            settled: record.settled,
            annotations: record.annotations,
            containers: statuses.collect(),
            guest: record.guest,
            machine: record.machine,
            network: record.network,
        }
    }
}

impl Summary {
    /// The sandbox.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

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
            generation: self.generation,
            annotations: self.annotations,
            containers: self.containers,
        }
    }
}
