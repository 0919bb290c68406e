//! The hypervisor suite.

use std::collections::BTreeSet;
use std::path::Path;

use virtcontainers_testkit::conformance::broken::hypervisor::{ALL, Broken, BrokenHarness, Like};
use virtcontainers_testkit::conformance::hypervisor::{FakeHarness, ProcessHarness, promises, run};
use virtcontainers_testkit::hypervisor::ProcessBackend;
use virtcontainers_types::Capabilities;

fn backend() -> ProcessBackend {
    ProcessBackend::new(env!("CARGO_BIN_EXE_vc-fake-machine"))
}

#[tokio::test]
async fn machines_that_are_values() {
    run(&FakeHarness::new(true)).await.assert_kept();
}

#[tokio::test]
async fn machines_that_are_values_and_can_do_little() {
    run(&FakeHarness::new(false)).await.assert_kept();
}

#[tokio::test]
async fn machines_that_are_processes() {
    run(&ProcessHarness::new(backend())).await.assert_kept();
}

#[tokio::test]
async fn machines_that_are_processes_and_can_do_little() {
    let backend = backend().with_capabilities(Capabilities::default());
    run(&ProcessHarness::new(backend)).await.assert_kept();
}

/// Where nothing but a deadline would end a check, the clock of the test jumps to it.
#[tokio::test(start_paused = true)]
async fn broken_machines_that_are_values_are_caught() {
    for broken in ALL.iter().filter(|broken| broken.like != Like::Processes) {
        caught(*broken).await;
    }
}

#[tokio::test]
async fn broken_machines_that_are_processes_are_caught() {
    for broken in ALL.iter().filter(|broken| broken.like == Like::Processes) {
        caught(*broken).await;
    }
}

async fn caught(broken: Broken) {
    let program = Path::new(env!("CARGO_BIN_EXE_vc-fake-machine"));
    let report = run(&BrokenHarness::new(broken, program)).await;
    assert_eq!(report.failed(), [broken.breaks], "{report}");
}

#[test]
fn there_is_a_broken_machine_for_each_promise() {
    let promises: Vec<&str> = promises().iter().map(|promise| promise.name).collect();
    let broken: Vec<&str> = ALL.iter().map(|broken| broken.breaks).collect();
    assert_eq!(
        promises.iter().collect::<BTreeSet<_>>().len(),
        promises.len()
    );
    let (promises, broken): (BTreeSet<_>, BTreeSet<_>) =
        (promises.into_iter().collect(), broken.into_iter().collect());
    assert_eq!(promises, broken);
}
