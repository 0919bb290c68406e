//! Format 2: a line of JSON with all that a summary needs, then the long parts, a line each, in this
//! order: the configurations of the containers, the plan, the configuration of the sandbox. The
//! first line tells their lengths and their checksum, so that whoever only wants to know how a
//! sandbox is reads one line, and nobody parses what was not asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{ContainerStatus, GuestFacts, ProcessIdentity, SandboxId, SandboxState};

use super::checksum;
use crate::{Blob, BootId, ContainerRecord, FORMAT, Record, Stored, Summary};

/// What is wrong with the long parts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    /// Bytes are missing, or there are too many.
    #[error("it should have {expected} bytes and has {found}")]
    Length {
        /// As the first line says.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// Some of the bytes are others than those that were written.
    #[error("its checksum is wrong")]
    Checksum,
    /// They are as they were written, but do not fit together.
    #[error("its parts do not fit together")]
    Parts,
}

#[derive(Serialize)]
struct HeadRef<'a> {
    format: u32,
    generation: u64,
    boot: Option<&'a BootId>,
    id: &'a SandboxId,
    state: SandboxState,
    created_at: u64,
    hypervisor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    supervisor: Option<&'a ProcessIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    boots: u32,
    #[serde(skip_serializing_if = "is_zero")]
    settled: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    containers: Vec<&'a ContainerStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest: Option<&'a GuestFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a Blob>,
    parts: Parts,
}

#[derive(Deserialize)]
pub(super) struct Head {
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
    boots: u32,
    #[serde(default)]
    settled: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    containers: Vec<ContainerStatus>,
    #[serde(default)]
    guest: Option<GuestFacts>,
    #[serde(default)]
    machine: Option<Blob>,
    #[serde(default)]
    network: Option<Blob>,
    parts: Parts,
}

/// The long parts: how many bytes each has, without the line feed after it.
#[derive(Serialize, Deserialize)]
struct Parts {
    containers: Vec<usize>,
    plan: Option<usize>,
    config: usize,
    checksum: u64,
}

impl Parts {
    /// The bytes of all parts and their line feeds; saturating, since the numbers are only read.
    fn length(&self) -> u64 {
        let all = self
            .containers
            .iter()
            .chain(&self.plan)
            .chain([&self.config]);
        all.fold(0, |sum: u64, one| {
            sum.saturating_add(*one as u64).saturating_add(1)
        })
    }
}

pub(super) fn encode(record: &Record) -> serde_json::Result<Vec<u8>> {
    let plan = match &record.plan {
        Some(plan) => Some(serde_json::to_string(plan)?),
        None => None,
    };
    let texts = || {
        let containers = record.containers.iter().map(|one| one.config.text());
        containers
            .chain(plan.as_deref())
            .chain([record.config.text()])
    };
    let head = HeadRef {
        format: FORMAT,
        generation: record.generation,
        boot: record.boot.as_ref(),
        id: &record.id,
        state: record.state,
        created_at: record.created_at,
        hypervisor: &record.hypervisor,
        supervisor: record.supervisor.as_ref(),
        failure: record.failure.as_deref(),
        boots: record.boots,
        settled: record.settled,
        annotations: &record.annotations,
        containers: record.containers.iter().map(|one| &one.status).collect(),
        guest: record.guest.as_ref(),
        machine: record.machine.as_ref(),
        network: record.network.as_ref(),
        parts: Parts {
            containers: record
                .containers
                .iter()
                .map(|one| one.config.text().len())
                .collect(),
            plan: plan.as_ref().map(String::len),
            config: record.config.text().len(),
            checksum: checksum::of(texts().map(str::as_bytes)),
        },
    };
    let length: usize = texts().map(|text| text.len() + 1).sum();
    let mut bytes = Vec::with_capacity(length + 1024);
    serde_json::to_writer(&mut bytes, &head)?;
    bytes.push(b'\n');
    for text in texts() {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
    }
    Ok(bytes)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Head {
    pub(super) fn id(&self) -> &SandboxId {
        &self.id
    }

    /// `rest` is the number of bytes after the first line.
    pub(super) fn check_length(&self, line: u64, rest: u64) -> Result<(), Damage> {
        match self.parts.length() {
            expected if expected == rest => Ok(()),
            expected => Err(Damage::Length {
                expected: expected.saturating_add(line),
                found: rest.saturating_add(line),
            }),
        }
    }

    pub(super) fn into_summary(self) -> Summary {
        Summary {
            generation: self.generation,
            boot: self.boot,
            earlier_boot: false,
            id: self.id,
            state: self.state,
            created_at: self.created_at,
            hypervisor: self.hypervisor,
            supervisor: self.supervisor,
            failure: self.failure,
            boots: self.boots,
            settled: self.settled,
            annotations: self.annotations,
            containers: self.containers,
            guest: self.guest,
            machine: self.machine,
            network: self.network,
        }
    }

    /// `rest` is what follows the first line; its length was checked.
    pub(super) fn into_record(self, rest: &[u8]) -> Result<Record, Damage> {
        let mut rest = std::str::from_utf8(rest).map_err(|_| Damage::Checksum)?;
        let mut next = |length: usize| {
            let (text, after) = rest.split_at_checked(length).ok_or(Damage::Checksum)?;
            rest = after.strip_prefix('\n').ok_or(Damage::Checksum)?;
            Ok(text)
        };
        let lengths = self.parts.containers.iter();
        let configs = lengths
            .map(|length| next(*length))
            .collect::<Result<Vec<_>, _>>()?;
        let plan = self.parts.plan.map(&mut next).transpose()?;
        let config = next(self.parts.config)?;
        let texts = configs.iter().copied().chain(plan).chain([config]);
        if checksum::of(texts.map(str::as_bytes)) != self.parts.checksum {
            return Err(Damage::Checksum);
        }
        if configs.len() != self.containers.len() {
            return Err(Damage::Parts);
        }
        let plan = plan.map(serde_json::from_str).transpose();
        Ok(Record {
            generation: self.generation,
            boot: self.boot,
            earlier_boot: false,
            id: self.id,
            state: self.state,
            created_at: self.created_at,
            hypervisor: self.hypervisor,
            supervisor: self.supervisor,
            failure: self.failure,
            boots: self.boots,
            settled: self.settled,
            annotations: self.annotations,
            containers: std::iter::zip(self.containers, configs)
                .map(|(status, text)| ContainerRecord {
                    status,
                    config: Stored::from_text(text.into()),
                })
                .collect(),
            guest: self.guest,
            machine: self.machine,
            network: self.network,
            plan: plan.map_err(|_| Damage::Parts)?,
            config: Stored::from_text(config.into()),
        })
    }
}
