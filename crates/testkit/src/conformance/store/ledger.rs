//! What a store promises of its ledgers.

use virtcontainers_store::LeaseMode;
use virtcontainers_types::UndoSink;

use super::Promise;
use super::place::Place;
use super::sample::{create, done, entry, id, open};
use crate::conformance::ensure;

type Checked = Result<(), String>;

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "a-ledger-needs-no-lease",
        sentence: "Who has no lease appends to the same ledger as who holds one.",
        needs: &[],
        check: without_lease,
    },
    Promise {
        name: "no-sandbox-no-ledger",
        sentence: "Nothing can be entered for a sandbox that is not there.",
        needs: &[],
        check: no_sandbox,
    },
    Promise {
        name: "an-earlier-boot-is-void",
        sentence: "After a reboot entries are void, and the record is known to be of before.",
        needs: &[],
        check: reboot,
    },
];

fn without_lease(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let lease = create(&*place.store(), &a)?;
    for (number, ledger) in [
        (1, lease.ledger()),
        (2, place.store().ledger(&a)),
        (3, lease.ledger()),
    ] {
        let entered = ledger.record(entry(number));
        entered.map_err(|error| format!("entry {number}: {error}"))?;
    }
    let entries = done("the ledger", lease.ledger().entries())?.entries;
    ensure!(
        entries == [entry(1), entry(2), entry(3)],
        "the ledger holds {entries:?}"
    );
    Ok(())
}

fn no_sandbox(place: &dyn Place) -> Checked {
    let ledger = place.store().ledger(&id("a")?);
    ensure!(ledger.record(entry(1)).is_err(), "something was entered");
    Ok(())
}

fn reboot(place: &dyn Place) -> Checked {
    let a = id("a")?;
    let lease = create(&*place.store(), &a)?;
    let entered = lease.ledger().record(entry(1));
    entered.map_err(|error| error.to_string())?;
    drop(lease);
    let lease = open(&*place.rebooted(), &a, LeaseMode::Exclusive, "look")?;
    ensure!(
        !lease.record().is_of_this_boot(),
        "the record is taken for one of this boot"
    );
    let entries = done("the ledger", lease.ledger().entries())?.entries;
    ensure!(entries.is_empty(), "{entries:?} are believed");
    Ok(())
}
