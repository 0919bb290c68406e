//! What a store promises of its locks.

use std::time::Duration;

use virtcontainers_store::{ErrorKind, LeaseMode};
use virtcontainers_types::UndoSink;

use super::Promise;
use super::place::{BRIEF, PATIENT, Place};
use super::sample::{create, done, entry, id, open, refused};
use crate::conformance::ensure;

type Checked = Result<(), String>;

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "readers-read-together",
        sentence: "Shared leases are held beside each other.",
        needs: &[],
        check: readers,
    },
    Promise {
        name: "readers-do-not-write",
        sentence: "Only an exclusive lease writes.",
        needs: &[],
        check: readers_write,
    },
    Promise {
        name: "who-writes-shuts-out-readers",
        sentence: "While a lease is held exclusively nobody reads.",
        needs: &[],
        check: writer_and_reader,
    },
    Promise {
        name: "who-reads-shuts-out-writers",
        sentence: "While a lease is held nobody has an exclusive one.",
        needs: &[],
        check: reader_and_writer,
    },
    Promise {
        name: "who-does-not-wait-is-told-busy",
        sentence: "With a deadline of zero, what is held is busy.",
        needs: &[],
        check: busy,
    },
    Promise {
        name: "a-wait-ends-with-its-deadline",
        sentence: "Waiting for a lock ends as a timeout when the deadline passes.",
        needs: &[],
        check: timeout,
    },
    Promise {
        name: "the-holder-is-named",
        sentence: "Whoever finds the sandbox held is told by which process and what for.",
        needs: &[],
        check: holder,
    },
    Promise {
        name: "a-waiter-gets-the-lock",
        sentence: "Who waits goes on when the holder lets go.",
        needs: &[],
        check: waiter,
    },
    Promise {
        name: "a-salvage-is-alone",
        sentence: "Cleaning up takes an exclusive lease.",
        needs: &[],
        check: salvage,
    },
    Promise {
        name: "a-sweep-takes-nothing-in-use",
        sentence: "A sweep removes what killed processes left, and nothing else.",
        needs: &[],
        check: sweep,
    },
];

fn readers(place: &dyn Place) -> Checked {
    let a = id("a")?;
    drop(create(&*place.store(), &a)?);
    let _one = open(&*place.store(), &a, LeaseMode::Shared, "read")?;
    let two = place
        .store()
        .open(&a, LeaseMode::Shared, "read", Duration::ZERO);
    done("reading beside a reader", two).map(drop)
}

fn readers_write(place: &dyn Place) -> Checked {
    let a = id("a")?;
    drop(create(&*place.store(), &a)?);
    let mut lease = open(&*place.store(), &a, LeaseMode::Shared, "read")?;
    let copy = lease.record().clone();
    let committed = lease.commit(copy);
    refused("a reader's commit", committed, ErrorKind::WrongState)?;
    refused("a reader's removal", lease.remove(), ErrorKind::WrongState).map(drop)
}

/// That a lease in mode `second` is busy while one in mode `first` is held.
fn shut_out(place: &dyn Place, first: (LeaseMode, &str), second: LeaseMode) -> Checked {
    let a = id("a")?;
    drop(create(&*place.store(), &a)?);
    let _held = open(&*place.store(), &a, first.0, first.1)?;
    let other = place.store().open(&a, second, "enter", Duration::ZERO);
    refused("a second lease", other, ErrorKind::Busy).map(drop)
}

fn writer_and_reader(place: &dyn Place) -> Checked {
    shut_out(place, (LeaseMode::Exclusive, "write"), LeaseMode::Shared)
}

fn reader_and_writer(place: &dyn Place) -> Checked {
    shut_out(place, (LeaseMode::Shared, "read"), LeaseMode::Exclusive)
}

fn busy(place: &dyn Place) -> Checked {
    shut_out(place, (LeaseMode::Exclusive, "write"), LeaseMode::Exclusive)
}

fn timeout(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let _held = create(&*place.store(), &a)?;
    let late = place.store().open(&a, LeaseMode::Exclusive, "late", BRIEF);
    refused("a lease that was waited for", late, ErrorKind::Timeout).map(drop)
}

fn holder(place: &dyn Place) -> Checked {
    let a = id("a")?;
    drop(create(&*place.store(), &a)?);
    let _held = open(&*place.store(), &a, LeaseMode::Exclusive, "stop")?;
    let other = place.store();
    let Err(error) = other.open(&a, LeaseMode::Shared, "look", BRIEF) else {
        return Err("what is held is opened".to_owned());
    };
    let holder = error.holder().ok_or("no holder is named")?;
    let (pid, operation) = (holder.pid, holder.operation.as_deref());
    ensure!(
        pid == std::process::id() && operation == Some("stop"),
        "process {pid} is said to hold it for {operation:?}"
    );
    Ok(())
}

fn waiter(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let held = create(&*place.store(), &a)?;
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let lease = place
                .store()
                .open(&a, LeaseMode::Exclusive, "wait", PATIENT);
            done("waiting for the lock", lease).map(drop)
        });
        // Held for as long as another waits in vain, so that the first has long begun.
        let patience = 10 * BRIEF;
        let vain = place.store().open(&a, LeaseMode::Shared, "vain", patience);
        ensure!(vain.is_err(), "what is held exclusively is read");
        drop(held);
        waiter.join().map_err(|_| "the waiter panicked")?
    })
}

fn salvage(place: &dyn Place) -> Checked {
    let a = id("a")?;
    drop(create(&*place.store(), &a)?);
    let _held = open(&*place.store(), &a, LeaseMode::Shared, "read")?;
    let other = place.store().salvage(&a, "clean", Duration::ZERO);
    refused("salvaging what is held", other, ErrorKind::Busy).map(drop)
}

fn sweep(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let lease = create(&*place.store(), &a)?;
    let entered = lease.ledger().record(entry(1));
    entered.map_err(|error| error.to_string())?;
    done("the sweep", place.store().sweep())?;
    let other = place
        .store()
        .open(&a, LeaseMode::Exclusive, "look", Duration::ZERO);
    refused("opening what is held", other, ErrorKind::Busy)?;
    let entries = done("the ledger", lease.ledger().entries())?.entries;
    ensure!(entries == [entry(1)], "the ledger holds {entries:?}");
    Ok(())
}
