//! What a store promises of its records and their ids.

use std::sync::Barrier;

use virtcontainers_store::{ErrorKind, LeaseMode};
use virtcontainers_types::{SandboxState, UndoSink};

use super::Promise;
use super::place::{PATIENT, Place};
use super::sample::{change, create, done, entry, id, names, open, record, refused};
use crate::conformance::ensure;

type Checked = Result<(), String>;

const CREATORS: usize = 8;

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "one-creator-wins",
        sentence: "Of several callers with one id exactly one succeeds; the id is in use then.",
        needs: &[],
        check: one_creator,
    },
    Promise {
        name: "a-taken-id-is-refused-at-once",
        sentence: "An id with a record is refused as existing, without waiting for its lock.",
        needs: &[],
        check: taken,
    },
    Promise {
        name: "who-loses-changes-nothing",
        sentence: "Callers that do not succeed in creating change nothing.",
        needs: &[],
        check: loser,
    },
    Promise {
        name: "a-dropped-claim-leaves-nothing",
        sentence: "A claim that is dropped leaves nothing.",
        needs: &[],
        check: dropped_claim,
    },
    Promise {
        name: "what-is-not-there-is-not-found",
        sentence: "Opening, peeking at and salvaging a sandbox without a trace is not found.",
        needs: &[],
        check: nothing,
    },
    Promise {
        name: "a-commit-is-read-back",
        sentence: "Whoever opens a sandbox reads what was committed last.",
        needs: &[],
        check: read_back,
    },
    Promise {
        name: "a-peek-shows-the-last-commit",
        sentence: "A peek shows a sandbox as it was last committed.",
        needs: &[],
        check: peek,
    },
    Promise {
        name: "a-peek-needs-no-lock",
        sentence: "A peek neither waits for a running operation nor disturbs it.",
        needs: &[],
        check: peek_while_held,
    },
    Promise {
        name: "a-removed-sandbox-is-gone",
        sentence: "Removing takes record, ledger and lock; the id is free then.",
        needs: &[],
        check: removed,
    },
    Promise {
        name: "the-list-is-in-order",
        sentence: "The ids in use are listed in order.",
        needs: &[],
        check: list,
    },
    Promise {
        name: "the-list-shows-what-is-being-created",
        sentence: "Ids of creations without a record yet are listed too.",
        needs: &[],
        check: list_of_claims,
    },
    Promise {
        name: "an-unreadable-record-is-corrupt",
        sentence: "A torn record, or one of another sandbox, is corrupt.",
        needs: &[],
        check: corrupt,
    },
    Promise {
        name: "a-later-format-is-incompatible",
        sentence: "A record of a later format is incompatible.",
        needs: &[],
        check: later,
    },
    Promise {
        name: "what-is-damaged-can-be-salvaged",
        sentence: "A sandbox can be cleaned up whatever its record looks like.",
        needs: &[],
        check: salvage,
    },
];

fn one_creator(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let barrier = Barrier::new(CREATORS);
    let attempts: Vec<_> = std::thread::scope(|scope| {
        let start = |_| {
            scope.spawn(|| {
                let store = place.store();
                barrier.wait();
                store.create(&a, "create", PATIENT)
            })
        };
        let creators: Vec<_> = (0..CREATORS).map(start).collect();
        creators.into_iter().map(|one| one.join()).collect()
    });
    let mut claims = Vec::new();
    for attempt in attempts {
        match attempt.map_err(|_| "a creator panicked")? {
            Ok(claim) => claims.push(claim),
            Err(error) => drop(refused::<()>(
                "a late creation",
                Err(error),
                ErrorKind::AlreadyExists,
            )?),
        }
    }
    let won = claims.len();
    ensure!(won == 1, "{won} of {CREATORS} creators succeeded");
    Ok(())
}

fn taken(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let store = place.store();
    let _lease = create(&*store, &a)?;
    let again = place.store().create(&a, "create", PATIENT);
    refused("a second creation", again, ErrorKind::AlreadyExists).map(drop)
}

fn loser(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let store = place.store();
    let lease = create(&*store, &a)?;
    let before = lease.record().clone();
    let entered = lease.ledger().record(entry(1));
    entered.map_err(|error| error.to_string())?;
    drop(lease);
    drop(place.store().create(&a, "create", PATIENT));
    let lease = open(&*store, &a, LeaseMode::Exclusive, "look")?;
    ensure!(*lease.record() == before, "the record is another one");
    let entries = done("the ledger", lease.ledger().entries())?.entries;
    ensure!(entries == [entry(1)], "the ledger holds {entries:?}");
    Ok(())
}

fn dropped_claim(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let store = place.store();
    drop(done("a creation", store.create(&a, "create", PATIENT))?);
    let names = names(&*store)?;
    ensure!(names.is_empty(), "{names:?} are left");
    create(&*store, &a).map(drop)
}

fn nothing(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let store = place.store();
    let kind = ErrorKind::NotFound;
    let opened = store.open(&a, LeaseMode::Shared, "look", PATIENT);
    refused("opening what is not there", opened, kind)?;
    refused("peeking at what is not there", store.peek(&a), kind)?;
    let salvaged = store.salvage(&a, "look", PATIENT);
    refused("salvaging what is not there", salvaged, kind).map(drop)
}

fn read_back(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let mut lease = create(&*place.store(), &a)?;
    let written = change(&mut lease, SandboxState::Ready)?;
    drop(lease);
    let lease = open(&*place.store(), &a, LeaseMode::Shared, "look")?;
    let (read, wanted) = (lease.record(), &written);
    ensure!(read == wanted, "{wanted:?} was written, {read:?} is read");
    Ok(())
}

fn peek(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let store = place.store();
    drop(create(&*store, &a)?);
    drop(done("a peek", store.peek(&a))?);
    let mut lease = open(&*store, &a, LeaseMode::Exclusive, "change")?;
    let written = change(&mut lease, SandboxState::Ready)?;
    drop(lease);
    let shown = done("a peek", store.peek(&a))?.into_status();
    let wanted = written.status();
    ensure!(shown == wanted, "{shown:?} is shown of {wanted:?}");
    Ok(())
}

fn peek_while_held(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let _lease = create(&*place.store(), &a)?;
    done("a peek at what is held", place.store().peek(&a)).map(drop)
}

fn removed(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let store = place.store();
    let lease = create(&*store, &a)?;
    let entered = lease.ledger().record(entry(1));
    entered.map_err(|error| error.to_string())?;
    done("the removal", lease.remove())?;
    let left = names(&*store)?;
    ensure!(left.is_empty(), "{left:?} are listed");
    let opened = store.open(&a, LeaseMode::Shared, "look", PATIENT);
    refused("opening what was removed", opened, ErrorKind::NotFound)?;
    let lease = create(&*store, &a)?;
    let entries = done("the ledger", lease.ledger().entries())?.entries;
    ensure!(entries.is_empty(), "{entries:?} are of the removed sandbox");
    Ok(())
}

fn list(place: &dyn Place) -> Checked {
    let store = place.store();
    for name in ["b", "a", "c"] {
        drop(create(&*store, &id(name)?)?);
    }
    let names = names(&*place.store())?;
    ensure!(names == ["a", "b", "c"], "{names:?} are listed");
    Ok(())
}

fn list_of_claims(place: &dyn Place) -> Checked {
    let store = place.store();
    let _claim = done("a creation", store.create(&id("a")?, "create", PATIENT))?;
    let names = names(&*place.store())?;
    ensure!(names == ["a"], "{names:?} are listed");
    Ok(())
}

fn corrupt(place: &dyn Place) -> Checked {
    let (a, b) = (id("a")?, id("b")?);
    let store = place.store();
    drop(create(&*store, &a)?);
    let foreign = serde_json::to_vec(&record(&b)?.status()).map_err(|error| error.to_string())?;
    for (what, bytes) in [
        ("a torn record", &b"{\"format\":"[..]),
        ("another", &foreign),
    ] {
        place.tamper(&a, bytes)?;
        let opened = store.open(&a, LeaseMode::Shared, "look", PATIENT);
        refused(&format!("opening {what}"), opened, ErrorKind::Corrupt)?;
        let peeked = store.peek(&a);
        refused(&format!("peeking at {what}"), peeked, ErrorKind::Corrupt)?;
    }
    Ok(())
}

fn later(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let store = place.store();
    drop(create(&*store, &a)?);
    place.tamper(&a, b"{\"format\":4000000000,\"id\":\"a\"}\n")?;
    let opened = store.open(&a, LeaseMode::Shared, "look", PATIENT);
    refused("opening a later format", opened, ErrorKind::Incompatible)?;
    let peeked = store.peek(&a);
    refused("peeking at a later format", peeked, ErrorKind::Incompatible).map(drop)
}

fn salvage(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let store = place.store();
    let lease = create(&*store, &a)?;
    let entered = lease.ledger().record(entry(1));
    entered.map_err(|error| error.to_string())?;
    drop(lease);
    place.tamper(&a, b"nothing of ours")?;
    let salvage = done("the salvage", store.salvage(&a, "clean", PATIENT))?;
    ensure!(salvage.record().is_err(), "the damaged record is read");
    let entries = done("the ledger", salvage.ledger().entries())?.entries;
    ensure!(entries == [entry(1)], "the ledger holds {entries:?}");
    done("the removal", salvage.remove())?;
    let left = names(&*store)?;
    ensure!(left.is_empty(), "{left:?} are listed");
    Ok(())
}
