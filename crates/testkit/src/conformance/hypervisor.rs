//! What every hypervisor backend promises.

mod adopt;
mod backend;
mod ending;
mod harness;
mod launch;
mod plug;
mod polls;
mod running;
mod stage;
mod undo;

use futures_util::future::BoxFuture;

use super::{Ability, Finding, Outcome, Report};

pub use harness::{FakeHarness, Harness, ProcessHarness, plan};
pub(in crate::conformance) use plug::OF_THE_START;

/// A check of this suite.
pub type Check = for<'a> fn(&'a dyn Harness) -> BoxFuture<'a, Result<(), String>>;
/// A promise of this suite.
pub type Promise = super::Promise<Check>;

/// Every promise, in the order in which a new backend gets to them.
pub fn promises() -> Vec<Promise> {
    [
        backend::PROMISES,
        launch::PROMISES,
        running::PROMISES,
        plug::PROMISES,
        ending::PROMISES,
        undo::PROMISES,
        adopt::PROMISES,
    ]
    .concat()
}

/// Tries every promise. Needs a tokio runtime with IO and time.
pub async fn run(harness: &dyn Harness) -> Report {
    let mut findings = Vec::new();
    for promise in promises() {
        let unmet = promise
            .needs
            .iter()
            .find_map(|need| need.unmet(|ability| can(harness, ability)));
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
        suite: "hypervisor",
        subject: harness.name(),
        findings,
    }
}

async fn attempt(harness: &dyn Harness, check: Check) -> Outcome {
    let patience = harness.patience();
    match tokio::time::timeout(patience, check(harness)).await {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(how)) => Outcome::Failed(how),
        Err(_elapsed) => Outcome::Failed(format!("no end within {patience:?}")),
    }
}

fn can(harness: &dyn Harness, ability: Ability) -> bool {
    let capabilities = harness.backend().capabilities();
    match ability {
        Ability::Pause => capabilities.pause,
        Ability::Adopt => capabilities.adopt,
        Ability::FilesystemSharing => capabilities.filesystem_sharing,
        Ability::NetworkHotplug => capabilities.network_hotplug,
        Ability::Processes => harness.has_processes(),
        Ability::Events => harness.has_events(),
        Ability::NetworkNamespaces => rustix::process::geteuid().is_root(),
        // Nothing that a machine has.
        Ability::Programs => false,
    }
}
