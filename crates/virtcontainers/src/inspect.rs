//! Everything that is known of a sandbox, in one value: what is stored, and what runs now.

mod network;
mod processes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use virtcontainers_runtime::{ErrorKind, Runtime};
use virtcontainers_store::{BootId, FileStore, LeaseMode, Record, Store, Summary};
use virtcontainers_types::{
    ContainerStatus, GuestFacts, NetworkStatus, ProcessIdentity, SandboxConfig, SandboxId,
    SandboxState, SandboxStatus, UndoEntry,
};

pub use processes::HostProcess;

use crate::{Config, Error};

/// How long somebody who changes the sandbox is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The owner of the entries of shared directories in a ledger.
const SHARE: &str = "share";
/// The owner of intents in a ledger, and their name there.
const RUNTIME: &str = "runtime";
const INTENT: &str = "intent";

/// A sandbox, from all sides. The names of its JSON form are stable; what is in `plan`, `machine`,
/// `shares`, `pending` and `ledger` belongs to other crates and may change with each version.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The sandbox.
    pub id: SandboxId,
    /// Its state.
    pub state: SandboxState,
    /// Why it failed, when it did.
    pub failure: Option<String>,
    /// The backend's name.
    pub hypervisor: String,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// How many times its record was stored.
    pub generation: u64,
    /// How many times its machine came up.
    pub boots: u32,
    /// Whether it was last changed during this boot of the host.
    pub of_this_boot: bool,
    /// The process that watches it, while there is one.
    pub supervisor: Option<ProcessIdentity>,
    /// Annotations of the caller.
    pub annotations: BTreeMap<String, String>,
    /// Its containers, in the order of their creation.
    pub containers: Vec<InspectedContainer>,
    /// The processes on the host that belong to it.
    pub processes: Vec<HostProcess>,
    /// What the guest told of itself.
    pub guest: Option<GuestFacts>,
    /// What the machine has of its network namespace, what it has not, and why. Absent when that
    /// cannot be read.
    pub network: Option<NetworkStatus>,
    /// What the caller asked for. Absent, as `plan`, while somebody changes the sandbox.
    pub config: Option<SandboxConfig>,
    /// What was decided before anything happened.
    pub plan: Option<Value>,
    /// What the backend stored of its machine.
    pub machine: Option<Value>,
    /// What is shared with the guest.
    pub shares: Vec<Value>,
    /// What an operation had begun to do to the guest, and has not ended.
    pub pending: Vec<Value>,
    /// The effects on the host that a delete takes back, in their order.
    pub ledger: Vec<UndoEntry>,
    /// Why something above is missing.
    pub notes: Vec<String>,
}

/// A container of a sandbox.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedContainer {
    /// What it is doing.
    #[serde(flatten)]
    pub status: ContainerStatus,
    /// The process that stands for it on the host.
    pub pid: Option<u32>,
}

impl Inspection {
    /// Looks at a sandbox. One whose supervisor died is cleaned up first, as by every query; nothing
    /// else is changed, and somebody who is at it is waited for no longer than two seconds. Safe to
    /// drop.
    ///
    /// Errors: as [`Runtime::status_sandbox`].
    pub async fn of(config: &Config, runtime: &Runtime, id: &SandboxId) -> Result<Self, Error> {
        let status = runtime.status_sandbox(id).await.map_err(|error| {
            Error::new(error.kind(), format!("cannot inspect {id}")).because(error)
        })?;
        let connected = runtime.network(id).await;
        let (root, id) = (config.runtime.root.clone(), id.clone());
        tokio::task::spawn_blocking(move || look(&root, &id, &status, connected))
            .await
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "a blocking step died").because(error)
            })?
    }
}

/// Blocks: for reads of files, and for a lock.
fn look(
    root: &Path,
    id: &SandboxId,
    status: &SandboxStatus,
    connected: Result<NetworkStatus, virtcontainers_runtime::Error>,
) -> Result<Inspection, Error> {
    let failed = |error: virtcontainers_store::Error| {
        Error::new(error.kind(), format!("cannot read what is stored of {id}")).because(error)
    };
    let store = FileStore::new(root, BootId::current().map_err(failed)?);
    let summary = store.peek(id).map_err(failed)?;
    let mut notes = Vec::new();
    let record = match store.open(id, LeaseMode::Shared, "inspect", PATIENCE) {
        Ok(lease) => Some(lease.record().clone()),
        Err(error) => {
            notes.push(format!("configuration and plan cannot be told: {error}"));
            None
        }
    };
    let ledger = match store.ledger(id).entries() {
        Ok(found) => found.entries,
        Err(error) => {
            notes.push(format!("effects cannot be told: {error}"));
            Vec::new()
        }
    };
    let config = record.as_ref().and_then(|record| match record.to_config() {
        Ok(config) => Some(config),
        Err(error) => {
            notes.push(format!("the configuration cannot be told: {error}"));
            None
        }
    });
    let network = match connected {
        Ok(connected) => {
            let asked = config.as_ref().map(|config| &config.network);
            Some(network::told(connected, status.state, asked))
        }
        Err(error) => {
            notes.push(format!("the network cannot be told: {error}"));
            None
        }
    };
    let plan = record.and_then(|record: Record| Some(record.plan?.data));
    let nonce = plan.as_ref().and_then(|plan| plan.get("nonce")?.as_str());
    let processes = processes::find(nonce, status);
    Ok(Inspection {
        network,
        ..assemble(summary, status, processes, config, plan, ledger, notes)
    })
}

fn assemble(
    summary: Summary,
    status: &SandboxStatus,
    processes: Vec<HostProcess>,
    config: Option<SandboxConfig>,
    plan: Option<Value>,
    ledger: Vec<UndoEntry>,
    notes: Vec<String>,
) -> Inspection {
    let containers = status
        .containers
        .iter()
        .map(|container| InspectedContainer {
            status: container.clone(),
            pid: status.pid_of(&container.id),
        });
    let of_owner = |owner: &'static str| ledger.iter().filter(move |entry| entry.owner == owner);
    let intents = of_owner(RUNTIME).filter_map(|entry| entry.payload.get(INTENT));
    let settled = summary.settled;
    let is_pending = |intent: &&Value| intent["number"].as_u64().is_some_and(|n| n > settled);
    Inspection {
        id: status.id.clone(),
        state: status.state,
        failure: status.failure.clone(),
        hypervisor: status.hypervisor.clone(),
        created_at: summary.created_at,
        generation: summary.generation(),
        boots: summary.boots,
        of_this_boot: summary.is_of_this_boot(),
        supervisor: status.supervisor,
        annotations: status.annotations.clone(),
        containers: containers.collect(),
        processes,
        config,
        plan,
        shares: of_owner(SHARE).map(|entry| entry.payload.clone()).collect(),
        pending: intents.filter(is_pending).cloned().collect(),
        guest: summary.guest,
        network: None,
        machine: summary.machine.map(|machine| machine.data),
        ledger,
        notes,
    }
}

#[cfg(test)]
mod tests;
