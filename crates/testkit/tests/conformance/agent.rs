//! The agent suite.

use std::collections::BTreeSet;

use virtcontainers_testkit::agent::Flavor;
use virtcontainers_testkit::conformance::agent::{DirectHarness, FakeHarness, promises, run};
use virtcontainers_testkit::conformance::broken::agent::{ALL, BrokenHarness};

#[tokio::test]
async fn the_client_and_an_agent_like_katas() {
    run(&FakeHarness::new(Flavor::Kata)).await.assert_kept();
}

#[tokio::test]
async fn the_client_and_an_agent_like_ours() {
    run(&FakeHarness::new(Flavor::Exact)).await.assert_kept();
}

#[tokio::test]
async fn an_agent_without_messages() {
    run(&DirectHarness).await.assert_kept();
}

#[tokio::test]
async fn broken_agents_are_caught() {
    for broken in ALL {
        let report = run(&BrokenHarness::new(*broken)).await;
        assert_eq!(report.failed(), [broken.breaks], "{report}");
    }
}

#[test]
fn there_is_a_broken_agent_for_each_promise() {
    let promises: BTreeSet<_> = promises().iter().map(|promise| promise.name).collect();
    let broken: BTreeSet<_> = ALL.iter().map(|broken| broken.breaks).collect();
    assert_eq!(promises, broken);
}
