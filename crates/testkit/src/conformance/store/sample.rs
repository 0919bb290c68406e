//! Records and entries for the checks.

use virtcontainers_store::{Error, ErrorKind, Lease, LeaseMode, Record, Store};
use virtcontainers_types::{
    AgentConfig, AgentStart, BootConfig, GuestRoot, Lifetime, Mebibytes, NetworkConfig,
    SandboxConfig, SandboxId, SandboxState, UndoEntry, VcpuCount,
};

use super::place::PATIENT;

pub(in crate::conformance) fn id(text: &str) -> Result<SandboxId, String> {
    SandboxId::new(text).map_err(|error| error.to_string())
}

/// A record of a sandbox without containers, in the state that is given.
pub(in crate::conformance) fn record(id: &SandboxId) -> Result<Record, String> {
    let config = SandboxConfig {
        id: id.clone(),
        hostname: None,
        memory: Mebibytes::DEFAULT,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/boot/vmlinux".into(),
            root: GuestRoot::Initrd("/boot/initrd".into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        agent: AgentConfig {
            start: AgentStart::Polled,
        },
        network: NetworkConfig::default(),
        lifetime: Lifetime::FirstContainer,
        containers: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
    };
    let record = Record::new(SandboxState::Creating, config, "fake", 1_700_000_000_000);
    record.map_err(|error| error.to_string())
}

pub(super) fn entry(number: u64) -> UndoEntry {
    UndoEntry {
        owner: "somebody".to_owned(),
        version: 1,
        payload: serde_json::json!({ "number": number }),
    }
}

/// A sandbox with a record; the lease is exclusive.
pub(super) fn create(store: &dyn Store, id: &SandboxId) -> Result<Lease, String> {
    let claim = done("a creation", store.create(id, "create", PATIENT))?;
    done("the first commit", claim.commit(record(id)?))
}

pub(super) fn open(
    store: &dyn Store,
    id: &SandboxId,
    mode: LeaseMode,
    operation: &str,
) -> Result<Lease, String> {
    let lease = store.open(id, mode, operation, PATIENT);
    done(&format!("opening to {operation}"), lease)
}

/// Commits the record with another state; gives what was committed.
pub(super) fn change(lease: &mut Lease, state: SandboxState) -> Result<Record, String> {
    let mut changed = lease.record().clone();
    changed.state = state;
    done("a commit", lease.commit(changed))?;
    Ok(lease.record().clone())
}

/// The ids that are listed; what does not belong there stands as `?`.
pub(super) fn names(store: &dyn Store) -> Result<Vec<String>, String> {
    let list = done("the list", store.list())?;
    let name = |found: Result<SandboxId, Error>| match found {
        Ok(id) => id.to_string(),
        Err(_) => "?".to_owned(),
    };
    Ok(list.into_iter().map(name).collect())
}

/// Fails unless the result is a success.
pub(super) fn done<T>(what: &str, result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| format!("{what} failed: {error}"))
}

/// Fails unless the result is an error of this kind; gives the error.
pub(super) fn refused<T>(
    what: &str,
    result: Result<T, Error>,
    wanted: ErrorKind,
) -> Result<Error, String> {
    match result {
        Ok(_) => Err(format!("{what} succeeded")),
        Err(error) if error.kind() == wanted => Ok(error),
        Err(error) => {
            let kind = error.kind();
            Err(format!("{what} is {kind:?}, not {wanted:?}: {error}"))
        }
    }
}
