//! Agents that each break one promise.

mod port;

use std::sync::Arc;

use async_trait::async_trait;

use crate::agent::Flavor;
use crate::conformance::agent::{FakeHarness, Guest, Harness};

use port::BrokenPort;

/// An agent that breaks the promise that it is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// The promise.
    pub breaks: &'static str,
}

const fn broken(breaks: &'static str) -> Broken {
    Broken { breaks }
}

/// One agent for each promise.
pub const ALL: &[Broken] = &[
    broken("the-agent-serves"),
    broken("a-sandbox-is-created-once"),
    broken("a-container-id-is-used-once"),
    broken("a-container-starts-once"),
    broken("an-exec-id-is-used-once"),
    broken("a-removed-container-is-forgotten"),
    broken("a-container-is-paused-and-resumed"),
    broken("no-random-data-is-refused"),
    broken("the-sandbox-is-destroyed"),
    broken("the-status-is-told"),
    broken("the-status-is-kept"),
    broken("a-stranger-is-not-waited-for"),
    broken("a-signal-ends-a-process"),
    broken("a-signal-to-what-ended-succeeds"),
    broken("a-kill-reaches-all"),
    broken("an-exec-runs-at-once"),
    broken("a-missing-program-is-told"),
    broken("output-is-read-to-its-end"),
    broken("input-reaches-the-process"),
    broken("no-input-is-refused"),
    broken("too-much-input-is-refused"),
    broken("a-terminal-keeps-its-input"),
    broken("a-terminal-has-one-output"),
];

/// The harness of a broken agent.
#[derive(Debug)]
pub struct BrokenHarness(Broken);

impl BrokenHarness {
    /// For this agent.
    pub const fn new(broken: Broken) -> Self {
        Self(broken)
    }
}

#[async_trait]
impl Harness for BrokenHarness {
    fn name(&self) -> String {
        format!("a strict agent, but not {}", self.0.breaks)
    }

    async fn guest(&self) -> Result<Guest, String> {
        let guest = FakeHarness::new(Flavor::Kata).guest().await?;
        let port = Arc::new(BrokenPort::new(Arc::clone(&guest.port), self.0.breaks));
        Ok(Guest::new(port, move || guest.complaints()))
    }
}
