//! Records that were written by earlier versions stay readable. The samples are never edited; a
//! new format adds a new one.

mod common;

use common::{PATIENT, boot, id};
use virtcontainers_store::{Blob, FileStore, LeaseMode, Record, Store};
use virtcontainers_types::{
    ContainerState, ContainerStatus, ExitStatus, GuestFacts, ProcessIdentity, SandboxState,
};

const V1: &str = include_str!("samples/v1.json");

/// What the sample of version 1 says, each optional part present.
fn full() -> Record {
    let id = id("sample");
    let mut record = common::record(&id);
    record.state = SandboxState::Failed;
    record.supervisor = Some(ProcessIdentity {
        pid: 4242,
        start_time: 987_654,
    });
    record.failure = Some("qemu ended: killed by signal 9".to_owned());
    record.containers = vec![ContainerStatus {
        id: id.into(),
        state: ContainerState::Stopped,
        exit_status: Some(ExitStatus(137)),
    }];
    record.guest = Some(GuestFacts {
        agent_version: "0.1.0".to_owned(),
        agent_is_init: true,
        seccomp: true,
        features: vec!["ps".to_owned()],
    });
    record.machine = Some(Blob {
        version: 3,
        data: serde_json::json!({ "pid": 4243 }),
    });
    record.plan = Some(Blob {
        version: 1,
        data: serde_json::json!({ "cid": 5, "nested": [1, null, "x"] }),
    });
    record
}

#[test]
fn version_1_is_read() {
    let root = tempfile::tempdir().unwrap();
    let store = FileStore::new(root.path(), boot());
    let id = id("sample");
    let claim = store.create(&id, "create", PATIENT).unwrap();
    let written = claim.commit(full()).unwrap().record().clone();
    let path = root.path().join("sandboxes/sample/record.json");
    let text = std::fs::read_to_string(&path).unwrap();

    std::fs::write(&path, V1).unwrap();
    let lease = store.open(&id, LeaseMode::Shared, "test", PATIENT).unwrap();
    assert_eq!(lease.record(), &written, "today this is written as\n{text}");
    assert_eq!(
        store.peek(&id).unwrap().into_status(),
        lease.record().status()
    );
}
