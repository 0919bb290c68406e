//! Leases between processes: this program starts itself again as the other side.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::{BRIEF, PATIENT, boot, create, entry, id, open, record};
use virtcontainers_store::{ErrorKind, FileStore, LeaseMode, Store};
use virtcontainers_types::UndoSink;

const ROLE: &str = "VC_STORE_TEST_ROLE";
const ROOT: &str = "VC_STORE_TEST_ROOT";

#[expect(
    clippy::disallowed_methods,
    reason = "the test starts itself, not a helper program"
)]
fn spawn(role: &str, root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--nocapture"])
        .env(ROLE, role)
        .env(ROOT, root)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn await_line(child: &mut Child, wanted: &str) -> BufReader<ChildStdout> {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(wanted) {
        line.clear();
        assert_ne!(
            reader.read_line(&mut line).unwrap(),
            0,
            "the other process ended early"
        );
    }
    reader
}

/// Not a test of its own: what a started process does.
#[test]
fn the_other_process() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let store = FileStore::new(std::env::var_os(ROOT).unwrap(), boot());
    let a = id("a");
    match role.as_str() {
        "increment" => {
            for _ in 0..25 {
                let mut lease = open(&store, &a, LeaseMode::Exclusive);
                let mut record = lease.record().clone();
                record.created_at += 1;
                lease.commit(record).unwrap();
                store.ledger(&a).record(entry(1)).unwrap();
            }
        }
        "create" => match store.create(&a, "create", PATIENT) {
            Ok(claim) => {
                claim.commit(record(&a)).unwrap();
                println!("won");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
        },
        "hold" => {
            let _lease = store
                .open(&a, LeaseMode::Exclusive, "stop", PATIENT)
                .unwrap();
            println!("holding");
            loop {
                std::thread::park();
            }
        }
        "die-in-create" => {
            let _claim = store.create(&a, "create", PATIENT).unwrap();
            println!("holding");
            loop {
                std::thread::park();
            }
        }
        other => panic!("no such role: {other}"),
    }
}

#[test]
fn no_update_is_lost_between_processes() {
    let root = tempfile::tempdir().unwrap();
    let store = FileStore::new(root.path(), boot());
    create(&store, &id("a"));
    let children: Vec<_> = (0..4).map(|_| spawn("increment", root.path())).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let lease = open(&store, &id("a"), LeaseMode::Shared);
    assert_eq!(lease.record().generation(), 101);
    assert_eq!(lease.record().created_at, record(&id("a")).created_at + 100);
    assert_eq!(lease.ledger().entries().unwrap().entries.len(), 100);
}

#[test]
fn of_many_processes_one_creates() {
    let root = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..6).map(|_| spawn("create", root.path())).collect();
    let mut won = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        won += usize::from(String::from_utf8_lossy(&output.stdout).contains("won"));
    }
    assert_eq!(won, 1);
}

#[test]
fn the_holder_is_named_and_its_death_releases() {
    let root = tempfile::tempdir().unwrap();
    let store = FileStore::new(root.path(), boot());
    create(&store, &id("a"));
    let mut holder = spawn("hold", root.path());
    let _stdout = await_line(&mut holder, "holding");
    let error = store
        .open(&id("a"), LeaseMode::Shared, "state", BRIEF)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let named = error.holder().unwrap();
    assert_eq!(named.pid, holder.id());
    assert_eq!(named.operation.as_deref(), Some("stop"));
    assert!(named.program.starts_with("processes"), "{named}");
    // Reads without a lock go on, and a second creation is refused at once.
    assert_eq!(store.peek(&id("a")).unwrap().generation(), 1);
    let error = store.create(&id("a"), "create", PATIENT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| open(&store, &id("a"), LeaseMode::Exclusive));
        holder.kill().unwrap();
        assert_eq!(waiter.join().unwrap().record().generation(), 1);
    });
    holder.wait().unwrap();
}

#[test]
fn a_creator_that_is_killed_leaves_the_id_free() {
    let root = tempfile::tempdir().unwrap();
    let store = FileStore::new(root.path(), boot());
    let mut creator = spawn("die-in-create", root.path());
    let _stdout = await_line(&mut creator, "holding");
    let error = store.create(&id("a"), "create", PATIENT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    creator.kill().unwrap();
    creator.wait().unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    create(&store, &id("a"));
}
