//! What every store promises.
//!
//! A store supplies places ([`Backing`](virtcontainers_store::Backing)); leases and ledgers are the
//! same code above all of them. What that code alone decides (generations, stale commits, the form
//! of the ledger's lines) is tested where it is, and not asked of each store again.

mod leases;
mod ledger;
mod place;
mod records;
mod sample;

use super::{Finding, Outcome, Report};

pub use place::{FileHarness, Harness, MemoryHarness, Place};
pub(super) use sample::record;

/// A check of this suite; it blocks.
pub type Check = fn(&dyn Place) -> Result<(), String>;
/// A promise of this suite.
pub type Promise = super::Promise<Check>;

/// Every promise.
pub fn promises() -> Vec<Promise> {
    [records::PROMISES, leases::PROMISES, ledger::PROMISES].concat()
}

/// Tries every promise, each at a place of its own. Blocks.
pub fn run(harness: &dyn Harness) -> Report {
    let findings = promises().into_iter().map(|promise| {
        let result = harness
            .place()
            .and_then(|place| (promise.check)(place.as_ref()));
        Finding {
            name: promise.name,
            sentence: promise.sentence,
            outcome: result.map_or_else(Outcome::Failed, |()| Outcome::Passed),
        }
    });
    Report {
        suite: "store",
        findings: findings.collect(),
        subject: harness.name(),
    }
}
