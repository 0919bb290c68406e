//! The store suite.

use std::collections::BTreeSet;

use virtcontainers_testkit::conformance::broken::store::{ALL, BrokenHarness};
use virtcontainers_testkit::conformance::store::{FileHarness, MemoryHarness, promises, run};

#[test]
fn records_in_files() {
    run(&FileHarness).assert_kept();
}

#[test]
fn records_in_memory() {
    run(&MemoryHarness).assert_kept();
}

#[test]
fn broken_stores_are_caught() {
    for broken in ALL {
        let report = run(&BrokenHarness::new(*broken));
        assert_eq!(report.failed(), [broken.breaks], "{report}");
    }
}

#[test]
fn there_is_a_broken_store_for_each_promise() {
    let promises: BTreeSet<_> = promises().iter().map(|promise| promise.name).collect();
    let broken: BTreeSet<_> = ALL.iter().map(|broken| broken.breaks).collect();
    assert_eq!(promises, broken);
}
