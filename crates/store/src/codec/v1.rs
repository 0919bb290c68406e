//! Format 1: the whole record as one JSON value. Read, never written.

use serde::Deserialize;
use virtcontainers_types::{
    ContainerStatus, GuestFacts, ProcessIdentity, SandboxConfig, SandboxId, SandboxState,
};

use crate::{Blob, BootId, Record};

#[derive(Deserialize)]
pub(super) struct RecordV1 {
    pub(super) format: u32,
    generation: u64,
    boot: Option<BootId>,
    id: SandboxId,
    state: SandboxState,
    created_at: u64,
    hypervisor: String,
    #[serde(default)]
    supervisor: Option<ProcessIdentity>,
    #[serde(default)]
    failure: Option<String>,
    containers: Vec<ContainerStatus>,
    #[serde(default)]
    guest: Option<GuestFacts>,
    #[serde(default)]
    machine: Option<Blob>,
    #[serde(default)]
    plan: Option<Blob>,
    config: SandboxConfig,
}

impl RecordV1 {
    /// The sandboxes that the record says it is of: one, unless it was tampered with.
    pub(super) fn ids(&self) -> [&SandboxId; 2] {
        [&self.id, &self.config.id]
    }

    /// The same in today's form. A container that the old record had no status of yet is a created
    /// one. That a sandbox with a guest came up at least once is all that is known of its boots.
    pub(super) fn into_record(self) -> serde_json::Result<Record> {
        let mut record =
            Record::assemble(self.state, self.config, self.hypervisor, self.created_at)?;
        for container in &mut record.containers {
            let id = &container.status.id;
            if let Some(status) = self.containers.iter().find(|one| one.id == *id) {
                container.status = status.clone();
            }
        }
        record.generation = self.generation;
        record.boot = self.boot;
        record.supervisor = self.supervisor;
        record.failure = self.failure;
        record.boots = u32::from(self.guest.is_some());
        record.guest = self.guest;
        record.machine = self.machine;
        record.plan = self.plan;
        Ok(record)
    }
}
