//! Records that were written by earlier versions stay readable. The samples are never edited; a
//! new format adds a new one.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::collections::BTreeMap;

use common::{PATIENT, boot, id};
use virtcontainers_store::{Blob, FileStore, LeaseMode, Record, Store};
use virtcontainers_types::{
    ContainerState, ContainerStatus, ExitStatus, GuestFacts, ProcessIdentity, SandboxState,
};

const V1: &str = include_str!("samples/v1.json");
const V2: &str = include_str!("samples/v2.json");

/// What the samples say, each optional part present.
fn full() -> Record {
    let id = id("sample");
    let mut record = common::record(&id);
    record.state = SandboxState::Failed;
    record.supervisor = Some(ProcessIdentity {
        pid: 4242,
        start_time: 987_654,
    });
    record.failure = Some("qemu ended: killed by signal 9".to_owned());
    record.boots = 1;
    record.containers[0].status = ContainerStatus {
        id: id.into(),
        state: ContainerState::Stopped,
        exit_status: Some(ExitStatus(137)),
        stand_in: None,
        created_at: None,
        bundle: None,
        annotations: BTreeMap::new(),
    };
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

/// The sets in a specification have no order, and texts are compared as they are: the record with
/// those of `other`, after their values were found equal.
fn with_texts_of(mut record: Record, other: &Record) -> Record {
    assert_eq!(record.to_config().unwrap(), other.to_config().unwrap());
    for (one, other) in record.containers.iter_mut().zip(&other.containers) {
        one.config = other.config.clone();
    }
    record
}

fn is_read(sample: &str) {
    let root = tempfile::tempdir().unwrap();
    let store = FileStore::new(root.path(), boot());
    let id = id("sample");
    let claim = store.create(&id, "create", PATIENT).unwrap();
    let written = claim.commit(full()).unwrap().record().clone();
    let path = root.path().join("sandboxes/sample/record.json");
    let text = std::fs::read_to_string(&path).unwrap();

    std::fs::write(&path, sample).unwrap();
    let lease = store.open(&id, LeaseMode::Shared, "test", PATIENT).unwrap();
    let written = with_texts_of(written, lease.record());
    assert_eq!(lease.record(), &written, "today this is written as\n{text}");
    let summary = store.peek(&id).unwrap();
    assert_eq!(summary, written.clone().into());
    assert_eq!(summary.into_status(), written.status());
}

#[test]
fn version_1_is_read() {
    is_read(V1);
}

#[test]
fn version_2_is_read() {
    is_read(V2);
}

#[test]
fn version_1_becomes_version_2_when_it_is_committed() {
    let root = tempfile::tempdir().unwrap();
    let store = FileStore::new(root.path(), boot());
    let id = id("sample");
    drop(common::create(&store, &id));
    let path = root.path().join("sandboxes/sample/record.json");
    std::fs::write(&path, V1).unwrap();
    let mut lease = common::open(&store, &id, LeaseMode::Exclusive);
    let copy = lease.record().clone();
    lease.commit(copy).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(r#"{"format":2,"generation":2,"#), "{text}");
    assert_eq!(text.lines().count(), V2.lines().count());
    let reloaded = with_texts_of(lease.record().clone(), lease.reload().unwrap());
    assert_eq!(lease.record(), &reloaded);
    assert_eq!(
        lease.record().status().containers,
        full().status().containers
    );
}
