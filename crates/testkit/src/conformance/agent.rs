//! What every agent promises, seen through the agent port.

mod harness;
mod order;
mod processes;
mod request;
mod streams;

use std::time::Duration;

use futures_util::future::BoxFuture;
use virtcontainers_agent::AgentPort;

use super::{Ability, Finding, Outcome, Report};

pub use harness::{DirectHarness, FakeHarness, Guest, Harness};

/// A check of this suite; the guest is fresh, and its agent was asked whether it serves.
pub type Check = for<'a> fn(&'a dyn AgentPort) -> BoxFuture<'a, Result<(), String>>;
/// A promise of this suite.
pub type Promise = super::Promise<Check>;

/// How long one promise may take to be tried; past it, it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every promise.
pub fn promises() -> Vec<Promise> {
    [order::PROMISES, processes::PROMISES, streams::PROMISES].concat()
}

/// Tries every promise, each in a guest of its own. Needs a tokio runtime with IO and time.
pub async fn run(harness: &dyn Harness) -> Report {
    let mut findings = Vec::new();
    for promise in promises() {
        let can = |ability| ability == Ability::Programs && harness.runs_programs();
        let unmet = promise.needs.iter().find_map(|need| need.unmet(can));
        let outcome = match unmet {
            Some(why) => Outcome::Skipped(why),
            None => attempt(harness, promise.check).await,
        };
        findings.push(Finding {
            name: promise.name,
            sentence: promise.sentence,
            outcome,
        });
    }
    Report {
        suite: "agent",
        subject: harness.name(),
        findings,
    }
}

async fn attempt(harness: &dyn Harness, check: Check) -> Outcome {
    let tried = async {
        let guest = harness.guest().await?;
        check(&*guest.port).await?;
        match guest.complaints().as_slice() {
            [] => Ok(()),
            complaints => Err(format!("the guest complains: {}", complaints.join("; "))),
        }
    };
    match tokio::time::timeout(PATIENCE, tried).await {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(how)) => Outcome::Failed(how),
        Err(_elapsed) => Outcome::Failed(format!("no end within {PATIENCE:?}")),
    }
}
