//! Crash images: after every prefix of the effects of each operation, and after every byte prefix
//! of the write that was the last, the store reopens to the old state or to the new one, goes on
//! from there, and leaves nothing behind at the end.

use std::path::Path;
use std::sync::Arc;

use virtcontainers_types::UndoSink;

use super::mortal::{Loss, Mortal};
use super::{PATIENT, entry, id, record};
use crate::file::FileStore;
use crate::{BootId, ErrorKind, LeaseMode, Store};

/// A directory in memory where there is one: thousands of images are made.
fn root() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// What a reader makes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// There is no such sandbox.
    Nothing,
    /// The id is listed and has no record.
    Trace,
    /// There is a record of this generation.
    Record(u64),
}

/// An operation that is tried on a store; whether it says that it was done.
type Operation = fn(&FileStore) -> bool;

fn store(root: &Path, disk: Mortal) -> (FileStore, Arc<Mortal>) {
    let disk = Arc::new(disk);
    let store = FileStore::on(disk.clone(), root.to_owned(), BootId::new("1"));
    (store, disk)
}

fn seen(store: &FileStore) -> Seen {
    let listed = store.list().unwrap();
    let peeked = store.peek(&id()).map(|summary| summary.generation());
    let opened = store
        .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
        .map(|lease| lease.record().generation());
    match (listed.len(), peeked, opened) {
        (1, Ok(peeked), Ok(opened)) if peeked == opened => Seen::Record(opened),
        (listed @ 0..=1, Err(peeked), Err(opened)) => {
            assert_eq!(peeked.kind(), ErrorKind::NotFound, "{peeked}");
            assert_eq!(opened.kind(), ErrorKind::NotFound, "{opened}");
            [Seen::Nothing, Seen::Trace][listed]
        }
        other => panic!("torn: {other:?}"),
    }
}

/// Goes on from an image: create or commit, then clean up, as a later process would.
fn go_on(root: &Path, from: Seen) {
    let (store, _) = store(root, Mortal::never());
    let again = match from {
        Seen::Nothing | Seen::Trace => {
            let claim = store.create(&id(), "t", PATIENT).unwrap();
            claim.commit(record()).unwrap();
            1
        }
        Seen::Record(generation) => {
            let mut lease = store
                .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
                .unwrap();
            let copy = lease.record().clone();
            lease.commit(copy).unwrap();
            generation + 1
        }
    };
    assert_eq!(seen(&store), Seen::Record(again));
    clean_up(root);
}

/// Cleans up an image as it is: nothing may be left.
fn clean_up(root: &Path) {
    let (store, _) = store(root, Mortal::never());
    match store.salvage(&id(), "gc", PATIENT) {
        Ok(salvage) => salvage.remove().unwrap(),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
    }
    store.sweep().unwrap();
    for directory in ["sandboxes", "locks"] {
        let left = std::fs::read_dir(root.join(directory));
        let left = left.into_iter().flatten().flatten();
        assert_eq!(
            left.map(|entry| entry.file_name()).collect::<Vec<_>>(),
            [""; 0]
        );
    }
}

/// Tries an operation on what `prepare` made, once for each point at which it can be ended. Readers
/// see `states` one after the other, never an earlier one after a later one; the last of them is
/// what the operation promises.
fn at_every_point(name: &str, prepare: Operation, operation: Operation, states: &[Seen]) {
    let (mut images, mut effects, mut bytes, mut furthest) = (0, 0, 0, 0);
    loop {
        let mut died = false;
        let mut cut = None;
        // What a failing power leaves of a write does not depend on where it was cut.
        let losses: &[Loss] = match bytes {
            0 => &[Loss::Nothing, Loss::Zeros, Loss::Everything],
            _ => &[Loss::Nothing],
        };
        for &loss in losses {
            for finish in [go_on as fn(&Path, Seen), |root, _| clean_up(root)] {
                let root = root();
                assert!(prepare(&store(root.path(), Mortal::never()).0));
                let (mortal, disk) = store(root.path(), Mortal::after(effects, bytes));
                let done = operation(&mortal);
                died = disk.died();
                cut = disk.cut();
                disk.lose(loss);
                let found = seen(&store(root.path(), Mortal::never()).0);
                let at = states.iter().position(|state| *state == found);
                let at = at.unwrap_or_else(|| {
                    panic!("{name}, {effects} effects, {bytes} bytes, {loss:?}: {found:?}")
                });
                assert!(
                    at >= furthest,
                    "{name}, {effects} effects: back to {found:?}"
                );
                furthest = at;
                if done {
                    assert_eq!(at, states.len() - 1, "{name} is not done: {found:?}");
                    assert!(disk.is_durable(), "{name} was not synced");
                }
                finish(root.path(), found);
                images += 1;
            }
        }
        match cut {
            Some(length) if bytes < length => bytes += 1,
            _ => (effects, bytes) = (effects + 1, 0),
        }
        if !died {
            break;
        }
    }
    assert_eq!(furthest, states.len() - 1, "{name} was never done");
    println!("{name}: {images} crash images");
}

fn nothing(store: &FileStore) -> bool {
    // The directories are there, as they are on a host that ran a sandbox before.
    drop(store.create(&id(), "t", PATIENT).unwrap());
    true
}

fn create(store: &FileStore) -> bool {
    let Ok(claim) = store.create(&id(), "t", PATIENT) else {
        return false;
    };
    claim.commit(record()).is_ok()
}

fn create_with_ledger(store: &FileStore) -> bool {
    create(store) && (0..3).all(|number| store.ledger(&id()).record(entry(number)).is_ok())
}

#[test]
fn a_commit_waits_for_the_disk_twice_and_nothing_else_does() {
    let root = root();
    let (store, disk) = store(root.path(), Mortal::never());
    let claim = store.create(&id(), "t", PATIENT).unwrap();
    assert_eq!(disk.syncs(), 0);
    let mut lease = claim.commit(record()).unwrap();
    assert_eq!(disk.syncs(), 2);
    let copy = lease.record().clone();
    lease.commit(copy).unwrap();
    assert_eq!(disk.syncs(), 4);
    lease.ledger().record(entry(1)).unwrap();
    lease.ledger().forget(&[]).unwrap();
    drop(lease);
    store.peek(&id()).unwrap();
    store.list().unwrap();
    let lease = store
        .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
        .unwrap();
    lease.remove().unwrap();
    store.sweep().unwrap();
    assert_eq!(disk.syncs(), 4);
}

#[test]
fn of_a_creation() {
    let states = [Seen::Nothing, Seen::Trace, Seen::Record(1)];
    at_every_point("create", nothing, create, &states);
}

#[test]
fn of_the_first_creation_of_all() {
    let states = [Seen::Nothing, Seen::Trace, Seen::Record(1)];
    at_every_point("first create", |_| true, create, &states);
}

#[test]
fn of_a_commit() {
    let commit: Operation = |store| {
        let mut lease = store
            .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
            .unwrap();
        let copy = lease.record().clone();
        let result = lease.commit(copy).is_ok();
        // What the lease holds is what is stored, whatever was said.
        let stored = store.peek(&id()).unwrap().generation();
        assert_eq!(lease.record().generation(), stored);
        result
    };
    let states = [Seen::Record(1), Seen::Record(2)];
    at_every_point("commit", create, commit, &states);
}

#[test]
fn of_a_removal() {
    let remove: Operation = |store| {
        let lease = store
            .open(&id(), LeaseMode::Exclusive, "t", PATIENT)
            .unwrap();
        lease.remove().is_ok()
    };
    let states = [Seen::Record(1), Seen::Trace, Seen::Nothing];
    at_every_point("remove", create_with_ledger, remove, &states);
    let with_leftovers: Operation = |store| {
        let directory = store.directory(&id());
        create_with_ledger(store)
            && std::fs::write(directory.join(super::place::TEMPORARY), "{").is_ok()
            && std::fs::write(directory.join(super::lines::TEMPORARY), "{").is_ok()
    };
    at_every_point("remove leftovers", with_leftovers, remove, &states);
}

#[test]
fn of_a_claim_that_is_dropped() {
    let claim: Operation = |store| store.create(&id(), "t", PATIENT).map(drop).is_ok();
    for (effects, expected) in [(0, Seen::Nothing), (1, Seen::Trace), (2, Seen::Nothing)] {
        let root = root();
        let (mortal, disk) = store(root.path(), Mortal::after(effects, 0));
        claim(&mortal);
        assert!(disk.died());
        assert_eq!(seen(&store(root.path(), Mortal::never()).0), expected);
        clean_up(root.path());
    }
}

#[test]
fn of_a_ledger_that_is_shortened() {
    let (mut effects, mut bytes, mut images) = (0, 0, 0);
    loop {
        let root = root();
        assert!(create_with_ledger(&store(root.path(), Mortal::never()).0));
        let (mortal, disk) = store(root.path(), Mortal::after(effects, bytes));
        let done = mortal.ledger(&id()).forget(&[entry(1)]).is_ok();
        let ledger = store(root.path(), Mortal::never()).0.ledger(&id());
        let found = ledger.entries().unwrap();
        let new = vec![entry(0), entry(2)];
        assert!(found.entries == new || (!done && found.entries.len() == 3));
        assert_eq!((found.torn, found.foreign), (0, 0));
        ledger.record(entry(9)).unwrap();
        assert_eq!(ledger.entries().unwrap().entries.last(), Some(&entry(9)));
        clean_up(root.path());
        images += 1;
        match disk.cut() {
            Some(length) if bytes < length => bytes += 1,
            _ => (effects, bytes) = (effects + 1, 0),
        }
        if !disk.died() {
            break;
        }
    }
    println!("forget: {images} crash images");
}
