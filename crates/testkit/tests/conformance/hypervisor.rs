//! The hypervisor suite.

use virtcontainers_testkit::conformance::hypervisor::{FakeHarness, ProcessHarness, run};
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
