//! What is on the disk: damage is reported, leftovers are taken over, strangers are left alone.

mod crash;
mod mortal;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use virtcontainers_types::{
    AgentConfig, AgentStart, BootConfig, GuestRoot, Lifetime, Mebibytes, NetworkConfig,
    SandboxConfig, SandboxState, UndoEntry, UndoSink, VcpuCount,
};

use super::*;
use crate::{ErrorKind, Record};

const PATIENT: Duration = Duration::from_secs(10);

fn id() -> SandboxId {
    SandboxId::new("a").unwrap()
}

fn record() -> Record {
    let config = SandboxConfig {
        id: id(),
        hostname: None,
        memory: Mebibytes::DEFAULT,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/k".into(),
            root: GuestRoot::Initrd("/i".into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        agent: AgentConfig {
            start: AgentStart::Announces,
        },
        network: NetworkConfig::default(),
        lifetime: Lifetime::Explicit,
        containers: Vec::new(),
        annotations: BTreeMap::new(),
    };
    Record::new(SandboxState::Creating, config, "fake", 0).unwrap()
}

fn store() -> (tempfile::TempDir, FileStore) {
    let root = tempfile::tempdir().unwrap();
    let store = FileStore::new(root.path(), BootId::new("1"));
    (root, store)
}

/// A store with a record of generation 1.
fn with_record() -> (tempfile::TempDir, FileStore) {
    let (root, store) = store();
    let claim = store.create(&id(), "t", PATIENT).unwrap();
    claim.commit(record()).unwrap();
    (root, store)
}

fn generation(store: &FileStore) -> Result<u64, ErrorKind> {
    let lease = store.open(&id(), LeaseMode::Exclusive, "t", PATIENT);
    let peeked = store.peek(&id()).map(|summary| summary.generation());
    let opened = lease.map(|lease| lease.record().generation());
    assert_eq!(opened.is_ok(), peeked.is_ok());
    opened.map_err(|error| error.kind())
}

#[test]
fn a_creation_that_died_before_its_record_is_listed_and_can_be_repeated_or_removed() {
    let (root, store) = store();
    let claim = store.create(&id(), "t", PATIENT).unwrap();
    std::mem::forget(claim);
    // The forgotten claim holds its lock as a living process would; give the lock another file.
    fs::remove_file(root.path().join("locks/a.lock")).unwrap();
    fs::write(store.directory(&id()).join(place::TEMPORARY), "{").unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(generation(&store), Err(ErrorKind::NotFound));
    let claim = store.create(&id(), "t", PATIENT).unwrap();
    drop(claim);
    assert!(store.list().unwrap().is_empty());
    fs::create_dir(store.directory(&id())).unwrap();
    let salvage = store.salvage(&id(), "gc", PATIENT).unwrap();
    assert_eq!(salvage.record().unwrap_err().kind(), ErrorKind::NotFound);
    salvage.remove().unwrap();
    assert!(store.list().unwrap().is_empty());
    assert_eq!(fs::read_dir(root.path().join("locks")).unwrap().count(), 0);
}

#[test]
fn damaged_records_are_reported_and_can_be_salvaged() {
    let (_root, store) = with_record();
    let path = store.directory(&id()).join(RECORD);
    let new = fs::read(&path).unwrap();
    for length in 0..new.len() {
        fs::write(&path, &new[..length]).unwrap();
        assert_eq!(generation(&store), Err(ErrorKind::Corrupt), "{length}");
    }
    let text = String::from_utf8(new).unwrap();
    let images = [
        (
            text.replace("\"format\":2", "\"format\":3"),
            ErrorKind::Incompatible,
        ),
        (
            "{\"format\":7,\"all\":\"new\"}".to_owned(),
            ErrorKind::Incompatible,
        ),
        (
            text.replace("\"id\":\"a\"", "\"id\":\"b\""),
            ErrorKind::Corrupt,
        ),
        (
            text.replace("\"creating\"", "\"dreaming\""),
            ErrorKind::Corrupt,
        ),
        (text.replace("\"boots\"", "\"boats\""), ErrorKind::Corrupt),
        (text.clone() + "\n", ErrorKind::Corrupt),
        ("{\"some\":\"other\"}".to_owned(), ErrorKind::Corrupt),
        ("\0".repeat(text.len()), ErrorKind::Corrupt),
        ("[]".to_owned(), ErrorKind::Corrupt),
    ];
    for (image, expected) in images {
        fs::write(&path, &image).unwrap();
        let error = store
            .open(&id(), LeaseMode::Shared, "t", PATIENT)
            .unwrap_err();
        assert_eq!(error.kind(), expected, "{image}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(store.peek(&id()).unwrap_err().kind(), expected, "{image}");
        assert_eq!(
            store.create(&id(), "t", PATIENT).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
    }
    let salvage = store.salvage(&id(), "gc", PATIENT).unwrap();
    assert_eq!(salvage.record().unwrap_err().kind(), ErrorKind::Corrupt);
    salvage.ledger().record(entry(1)).unwrap();
    assert_eq!(salvage.ledger().entries().unwrap().entries, [entry(1)]);
    salvage.remove().unwrap();
    assert_eq!(generation(&store), Err(ErrorKind::NotFound));
}

#[test]
fn damage_beyond_the_first_line_is_found_when_the_record_is_opened() {
    let (_root, store) = with_record();
    let path = store.directory(&id()).join(RECORD);
    let whole = fs::read(&path).unwrap();
    let line = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for index in line..whole.len() {
        for damage in [b'\0', b'7', b'\n', 0xFF] {
            let mut bytes = whole.clone();
            if std::mem::replace(&mut bytes[index], damage) == damage {
                continue;
            }
            fs::write(&path, &bytes).unwrap();
            let opened = store.open(&id(), LeaseMode::Exclusive, "t", PATIENT);
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::Corrupt, "{index}");
            // What is shown of the sandbox is whole.
            assert_eq!(store.peek(&id()).unwrap().generation(), 1);
        }
    }
}

#[test]
fn a_record_larger_than_one_read_is_peeked_at() {
    let (_root, store) = with_record();
    let mut lease = store
        .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
        .unwrap();
    for length in [3000, 4096, 5000, 100_000] {
        // In the first line, which then does not fit, and behind it.
        for (line, rest) in [(length, 0), (0, length)] {
            let mut changed = lease.record().clone();
            changed.failure = Some("x".repeat(line));
            changed.plan = Some(crate::Blob {
                version: 1,
                data: "y".repeat(rest).into(),
            });
            lease.commit(changed).unwrap();
            assert_eq!(store.peek(&id()).unwrap(), lease.record().clone().into());
        }
    }
    let path = store.directory(&id()).join(RECORD);
    let bytes = fs::read(&path).unwrap();
    for length in [bytes.len() - 1, 5000, 4096, 4095] {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = store.peek(&id()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}");
    }
}

fn entry(number: u32) -> UndoEntry {
    UndoEntry {
        owner: "network".to_owned(),
        version: 1,
        payload: serde_json::json!({ "number": number, "text": "a\nb" }),
    }
}

#[test]
fn a_torn_ledger_line_costs_only_itself() {
    let (_root, store) = with_record();
    let ledger = store.ledger(&id());
    ledger.record(entry(1)).unwrap();
    let path = store.directory(&id()).join(lines::NAME);
    let one = fs::read(&path).unwrap();
    ledger.record(entry(2)).unwrap();
    let two = fs::read(&path).unwrap();
    for length in one.len()..=two.len() {
        fs::write(&path, &two[..length]).unwrap();
        ledger.record(entry(3)).unwrap();
        let found = ledger.entries().unwrap();
        // The entry is whole without its line feed already.
        let whole = length >= two.len() - 1;
        let torn = !whole && length > one.len() + 1;
        let expected = match whole {
            true => vec![entry(1), entry(2), entry(3)],
            false => vec![entry(1), entry(3)],
        };
        assert_eq!(found.entries, expected, "{length}");
        assert_eq!(
            (found.torn, found.foreign),
            (usize::from(torn), 0),
            "{length}"
        );
    }
    fs::write(&path, b"\nwhat?\n\n\xff\xfe\n").unwrap();
    ledger.record(entry(4)).unwrap();
    let found = ledger.entries().unwrap();
    assert_eq!((found.entries, found.foreign), (vec![entry(4)], 2));
}

#[test]
fn strangers_are_listed_beside_the_rest() {
    let (root, store) = with_record();
    fs::write(root.path().join("sandboxes/notes.txt"), "").unwrap();
    fs::create_dir(root.path().join("sandboxes/.hidden")).unwrap();
    let list = store.list().unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = list.into_iter().partition(Result::is_ok);
    assert_eq!(
        good.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [id()]
    );
    assert_eq!(bad.len(), 2);
    for error in bad.into_iter().map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_failed_commit_leaves_the_old_record() {
    let (_root, store) = with_record();
    let mut lease = store
        .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
        .unwrap();
    // A directory in the place of the temporary file: the write fails, for root too.
    fs::create_dir(store.directory(&id()).join(place::TEMPORARY)).unwrap();
    let copy = lease.record().clone();
    assert_eq!(lease.commit(copy).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(lease.record().generation(), 1);
    fs::remove_dir(store.directory(&id()).join(place::TEMPORARY)).unwrap();
    let copy = lease.record().clone();
    lease.commit(copy).unwrap();
    assert_eq!(store.peek(&id()).unwrap().generation(), 2);
}

#[test]
fn what_is_not_ours_is_never_removed() {
    let (_root, store) = with_record();
    let foreign = store.directory(&id()).join("data");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("precious"), "x").unwrap();
    let lease = store
        .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
        .unwrap();
    lease.remove().unwrap_err();
    assert!(foreign.join("precious").exists());
}

#[test]
fn nothing_is_readable_to_others_and_nothing_stays() {
    let (root, store) = with_record();
    store.ledger(&id()).record(entry(1)).unwrap();
    let mut pending = vec![root.path().join("sandboxes"), root.path().join("locks")];
    while let Some(path) = pending.pop() {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(
            metadata.permissions().mode() & 0o077,
            0,
            "{}",
            path.display()
        );
        if metadata.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    let lease = store
        .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
        .unwrap();
    lease.remove().unwrap();
    for directory in ["sandboxes", "locks"] {
        assert_eq!(
            fs::read_dir(root.path().join(directory)).unwrap().count(),
            0
        );
    }
}

#[test]
fn locks_of_killed_processes_are_swept() {
    let (root, store) = with_record();
    fs::write(root.path().join("locks/dead.lock"), "").unwrap();
    let held = store
        .lock_new(&"held".parse().unwrap(), "t", PATIENT)
        .unwrap();
    assert_eq!(store.sweep().unwrap(), 1);
    drop(held);
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(fs::read_dir(root.path().join("locks")).unwrap().count(), 1);
}
