//! What every store promises, tried on both.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use common::{BRIEF, PATIENT, boot, create, entry, id, open, record};
use virtcontainers_store::{
    BootId, Entries, ErrorKind, FileStore, LeaseMode, MemoryStore, Record, Store,
};
use virtcontainers_types::{SandboxState, UndoSink};

fn create_open_commit_remove(store: &dyn Store) {
    let a = id("a");
    assert_eq!(
        kind(store.open(&a, LeaseMode::Shared, "t", PATIENT)),
        ErrorKind::NotFound
    );
    assert_eq!(kind(store.peek(&a)), ErrorKind::NotFound);
    let mut lease = create(store, &a);
    assert_eq!(lease.record().generation(), 1);
    let mut changed = lease.record().clone();
    changed.state = SandboxState::Ready;
    changed.failure = Some("none".to_owned());
    lease.commit(changed).unwrap();
    assert_eq!(lease.record().generation(), 2);
    let written = lease.record().clone();
    drop(lease);

    let mut lease = open(store, &a, LeaseMode::Exclusive);
    assert_eq!(lease.record(), &written);
    assert_eq!(lease.reload().unwrap(), &written);
    let summary = store.peek(&a).unwrap();
    assert_eq!(summary.generation(), 2);
    assert!(summary.is_of_this_boot());
    assert_eq!(summary.into_status(), written.status());
    assert_eq!(names(store), ["a"]);
    lease.remove().unwrap();
    assert_eq!(names(store), [""; 0]);
    assert_eq!(
        kind(store.open(&a, LeaseMode::Shared, "t", PATIENT)),
        ErrorKind::NotFound
    );
    assert_eq!(kind(store.salvage(&a, "t", PATIENT)), ErrorKind::NotFound);
    create(store, &a);
}

fn an_id_is_claimed_once(store: &dyn Store) {
    let a = id("a");
    let claim = store.create(&a, "create", PATIENT).unwrap();
    assert_eq!(
        kind(store.create(&a, "create", PATIENT)),
        ErrorKind::AlreadyExists
    );
    let lease = claim.commit(record(&a)).unwrap();
    assert_eq!(
        kind(store.create(&a, "create", PATIENT)),
        ErrorKind::AlreadyExists
    );
    drop(lease);
    assert_eq!(
        kind(store.create(&a, "create", PATIENT)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(store.peek(&a).unwrap().generation(), 1);
}

fn a_dropped_claim_leaves_nothing(store: &dyn Store) {
    let a = id("a");
    drop(store.create(&a, "create", PATIENT).unwrap());
    assert_eq!(names(store), [""; 0]);
    let claim = store.create(&a, "create", PATIENT).unwrap();
    assert_eq!(kind(claim.commit(record(&id("b")))), ErrorKind::Invalid);
    assert_eq!(names(store), [""; 0]);
    create(store, &a);
}

fn of_many_creators_one_wins(store: &dyn Store) {
    for round in 0..20 {
        let a = id(&format!("r{round}"));
        let barrier = Barrier::new(8);
        let won: usize = thread::scope(|scope| {
            let creators: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        match store.create(&a, "create", PATIENT) {
                            Ok(claim) => {
                                claim.commit(record(&a)).unwrap();
                                1
                            }
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
                                0
                            }
                        }
                    })
                })
                .collect();
            creators
                .into_iter()
                .map(|creator| creator.join().unwrap())
                .sum()
        });
        assert_eq!(won, 1);
    }
}

fn shared_leases_read_together_and_do_not_write(store: &dyn Store) {
    let a = id("a");
    create(store, &a);
    let mut one = open(store, &a, LeaseMode::Shared);
    let two = open(store, &a, LeaseMode::Shared);
    assert_eq!(one.record(), two.record());
    let copy = one.record().clone();
    assert_eq!(one.commit(copy).unwrap_err().kind(), ErrorKind::WrongState);
    assert_eq!(
        kind(store.open(&a, LeaseMode::Exclusive, "t", BRIEF)),
        ErrorKind::Timeout
    );
    assert_eq!(one.remove().unwrap_err().kind(), ErrorKind::WrongState);
    drop(two);
    open(store, &a, LeaseMode::Exclusive);
}

fn who_waits_in_vain_is_told_for_whom(store: &dyn Store) {
    let a = id("a");
    create(store, &a);
    let holder = store
        .open(&a, LeaseMode::Exclusive, "stop", PATIENT)
        .unwrap();
    for mode in [LeaseMode::Shared, LeaseMode::Exclusive] {
        for (wait, expected) in [
            (Duration::ZERO, ErrorKind::Busy),
            (BRIEF, ErrorKind::Timeout),
        ] {
            let error = store.open(&a, mode, "start", wait).unwrap_err();
            assert_eq!(error.kind(), expected);
            let found = error.holder().unwrap();
            assert_eq!(found.pid, std::process::id());
            assert_eq!(found.operation.as_deref(), Some("stop"));
            assert!(error.to_string().contains("for \"stop\""), "{error}");
        }
    }
    assert_eq!(store.peek(&a).unwrap().generation(), 1);
    drop(holder);
}

fn who_waits_goes_on_when_the_holder_lets_go(store: &dyn Store) {
    let a = id("a");
    let mut lease = create(store, &a);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let lease = open(store, &a, LeaseMode::Shared);
            lease.record().generation()
        });
        let other = scope.spawn(|| {
            let lease = open(store, &a, LeaseMode::Shared);
            lease.record().generation()
        });
        let copy = lease.record().clone();
        lease.commit(copy).unwrap();
        drop(lease);
        let seen = [waiter.join().unwrap(), other.join().unwrap()];
        assert!(seen.iter().all(|generation| *generation == 2), "{seen:?}");
    });
}

fn a_waiter_learns_that_the_sandbox_is_gone(store: &dyn Store) {
    let a = id("a");
    let lease = create(store, &a);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| kind(store.open(&a, LeaseMode::Exclusive, "t", PATIENT)));
        lease.remove().unwrap();
        assert_eq!(waiter.join().unwrap(), ErrorKind::NotFound);
    });
    assert_eq!(names(store), [""; 0]);
}

fn no_update_is_lost(store: &dyn Store) {
    let a = id("a");
    let mut lease = create(store, &a);
    let old = lease.record().clone();
    let copy = old.clone();
    lease.commit(copy).unwrap();
    assert_eq!(lease.commit(old).unwrap_err().kind(), ErrorKind::WrongState);
    drop(lease);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let mut lease = open(store, &a, LeaseMode::Exclusive);
                    let mut record = lease.record().clone();
                    record.created_at += 1;
                    lease.commit(record).unwrap();
                }
            });
        }
    });
    let lease = open(store, &a, LeaseMode::Shared);
    assert_eq!(lease.record().generation(), 102);
    assert_eq!(lease.record().created_at, record(&a).created_at + 100);
}

fn the_ledger_takes_entries_beside_a_lease(store: &dyn Store) {
    let a = id("a");
    let lease = create(store, &a);
    assert_eq!(lease.ledger().entries().unwrap(), Entries::default());
    lease.ledger().record(entry(1)).unwrap();
    store.ledger(&a).record(entry(2)).unwrap();
    lease.ledger().record(entry(1)).unwrap();
    let entries = |list: &[u64]| Entries {
        entries: list.iter().map(|number| entry(*number)).collect(),
        ..Entries::default()
    };
    assert_eq!(lease.ledger().entries().unwrap(), entries(&[1, 2, 1]));
    lease.ledger().forget(&[entry(1), entry(7)]).unwrap();
    assert_eq!(store.ledger(&a).entries().unwrap(), entries(&[2, 1]));
    lease.ledger().clear().unwrap();
    assert_eq!(lease.ledger().entries().unwrap(), entries(&[]));
    lease.ledger().record(entry(3)).unwrap();
    lease.remove().unwrap();
    assert!(
        store.ledger(&a).record(entry(4)).is_err(),
        "no sandbox, no ledger"
    );
}

fn entries_appended_while_others_are_struck_out_stay(store: &dyn Store) {
    let a = id("a");
    let lease = create(store, &a);
    thread::scope(|scope| {
        for writer in 0..3 {
            let ledger = store.ledger(&a);
            scope.spawn(move || {
                for number in 0..50 {
                    ledger.record(entry(writer * 1000 + number)).unwrap();
                }
            });
        }
        for number in 0..50 {
            lease.ledger().forget(&[entry(number)]).unwrap();
        }
    });
    let left: Vec<_> = (0..50).map(entry).collect();
    lease.ledger().forget(&left).unwrap();
    let found = lease.ledger().entries().unwrap();
    assert_eq!(found.entries.len(), 100);
    for writer in 1..3 {
        let expected: Vec<_> = (0..50)
            .map(|number| entry(writer * 1000 + number))
            .collect();
        let written: Vec<_> = found
            .entries
            .iter()
            .filter(|one| expected.contains(one))
            .cloned()
            .collect();
        assert_eq!(written, expected);
    }
}

/// Beside the suite: needs a second handle on the same data after a reboot.
fn nothing_of_an_earlier_boot_is_trusted(before: &dyn Store, after: &dyn Store) {
    let a = id("a");
    create(before, &a).ledger().record(entry(1)).unwrap();
    assert!(!after.peek(&a).unwrap().is_of_this_boot());
    let mut lease = open(after, &a, LeaseMode::Exclusive);
    assert!(!lease.record().is_of_this_boot());
    assert_eq!(lease.ledger().entries().unwrap(), Entries::default());
    lease.ledger().record(entry(2)).unwrap();
    assert_eq!(lease.ledger().entries().unwrap().entries, [entry(2)]);
    assert_eq!(before.ledger(&a).entries().unwrap().entries, [entry(1)]);
    lease.ledger().forget(&[]).unwrap();
    assert_eq!(before.ledger(&a).entries().unwrap().entries, []);
    assert_eq!(lease.ledger().entries().unwrap().entries, [entry(2)]);
    let copy: Record = lease.record().clone();
    lease.commit(copy).unwrap();
    assert!(lease.record().is_of_this_boot());
    assert!(!before.peek(&a).unwrap().is_of_this_boot());
}

fn kind<T: std::fmt::Debug>(result: Result<T, virtcontainers_store::Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn names(store: &dyn Store) -> Vec<String> {
    let list = store.list().unwrap();
    list.into_iter().map(|id| id.unwrap().to_string()).collect()
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod file {
            use super::*;
            $(
                #[test]
                fn $test() {
                    let root = tempfile::tempdir().unwrap();
                    super::$test(&FileStore::new(root.path().join("root"), boot()));
                }
            )*
        }
        mod memory {
            use super::*;
            $(
                #[test]
                fn $test() {
                    super::$test(&MemoryStore::new(boot()));
                }
            )*
        }
    };
}

suite!(
    create_open_commit_remove,
    an_id_is_claimed_once,
    a_dropped_claim_leaves_nothing,
    of_many_creators_one_wins,
    shared_leases_read_together_and_do_not_write,
    who_waits_in_vain_is_told_for_whom,
    who_waits_goes_on_when_the_holder_lets_go,
    a_waiter_learns_that_the_sandbox_is_gone,
    no_update_is_lost,
    the_ledger_takes_entries_beside_a_lease,
    entries_appended_while_others_are_struck_out_stay,
);

#[test]
fn a_reboot_voids_files() {
    let root = tempfile::tempdir().unwrap();
    let before = FileStore::new(root.path(), boot());
    nothing_of_an_earlier_boot_is_trusted(&before, &FileStore::new(root.path(), BootId::new("2")));
}

#[test]
fn a_reboot_voids_memory() {
    let before = MemoryStore::new(boot());
    nothing_of_an_earlier_boot_is_trusted(&before, &before.rebooted(BootId::new("2")));
}
