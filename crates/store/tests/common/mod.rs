//! What the tests of this crate share.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use virtcontainers_store::{BootId, Lease, LeaseMode, Record, Store};
use virtcontainers_types::{
    AgentConfig, AgentStart, BootConfig, ContainerConfig, GuestRoot, Lifetime, Mebibytes,
    NetworkConfig, RootFs, SandboxConfig, SandboxId, SandboxState, UndoEntry, VcpuCount,
};

pub const PATIENT: Duration = Duration::from_secs(20);
pub const BRIEF: Duration = Duration::from_millis(30);

pub fn boot() -> BootId {
    BootId::new("3f0f2c0e-0000-4000-8000-000000000001")
}

pub fn id(text: &str) -> SandboxId {
    SandboxId::new(text).unwrap()
}

pub fn config(id: &SandboxId) -> SandboxConfig {
    SandboxConfig {
        id: id.clone(),
        hostname: Some("guest".to_owned()),
        memory: Mebibytes(256),
        vcpus: "2".parse::<VcpuCount>().unwrap(),
        boot: BootConfig {
            kernel: "/boot/vmlinux".into(),
            root: GuestRoot::Initrd("/boot/initrd".into()),
            kernel_params: vec!["quiet".to_owned()],
            hypervisor: Default::default(),
        },
        agent: AgentConfig {
            start: AgentStart::Announces,
        },
        network: NetworkConfig::default(),
        lifetime: Lifetime::FirstContainer,
        containers: vec![ContainerConfig {
            id: id.clone().into(),
            rootfs: RootFs::Host("/srv/rootfs".into()),
            bundle: None,
            cgroup: None,
            spec: oci_spec::runtime::Spec::default(),
        }],
        annotations: BTreeMap::from([("key".to_owned(), "value \u{1F980}".to_owned())]),
    }
}

pub fn record(id: &SandboxId) -> Record {
    Record::new(
        SandboxState::Creating,
        config(id),
        "fake",
        1_700_000_000_000,
    )
    .unwrap()
}

pub fn create(store: &dyn Store, id: &SandboxId) -> Lease {
    let claim = store.create(id, "create", PATIENT).unwrap();
    claim.commit(record(id)).unwrap()
}

pub fn open(store: &dyn Store, id: &SandboxId, mode: LeaseMode) -> Lease {
    store.open(id, mode, "test", PATIENT).unwrap()
}

pub fn entry(number: u64) -> UndoEntry {
    UndoEntry {
        owner: "share".to_owned(),
        version: 1,
        payload: serde_json::json!({ "number": number, "text": "line\nfeed" }),
    }
}
