//! What a backend promises about machines that another process launched.

use std::sync::Arc;
use std::time::Duration;

use virtcontainers_hypervisor::{Error, ErrorKind, Machine, SavedMachine};

use super::polls::drop_after;
use super::stage::{Stage, done, refused};
use super::{Harness, Promise};
use crate::conformance::{Ability, Need, ensure};
use crate::hypervisor::Power;

type Checked = Result<(), String>;

const ADOPT: &[Need] = &[Need::Has(Ability::Adopt)];

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "what-is-saved-is-adopted",
        sentence: "What a machine saves is all that another process needs to take it over.",
        needs: ADOPT,
        check: |harness| Box::pin(adopted(harness)),
    },
    Promise {
        name: "an-adopter-ends-the-machine",
        sentence: "An adopted machine is ended like any other, and its launcher is told.",
        needs: ADOPT,
        check: |harness| Box::pin(ended(harness)),
    },
    Promise {
        name: "adopting-what-ended-is-gone",
        sentence: "Adopting a machine fails as gone when it does not live any more.",
        needs: ADOPT,
        check: |harness| Box::pin(gone(harness)),
    },
    Promise {
        name: "a-dropped-adoption-changes-nothing",
        sentence: "Dropping the future of an adoption, or what it gave, changes nothing.",
        needs: ADOPT,
        check: |harness| Box::pin(dropped(harness)),
    },
    Promise {
        name: "events-are-the-launchers",
        sentence: "Only the process that launched the machine has events; elsewhere unsupported.",
        needs: ADOPT,
        check: |harness| Box::pin(events(harness)),
    },
    Promise {
        name: "adopting-needs-the-ability",
        sentence: "Where machines cannot be adopted, adopting is unsupported.",
        needs: &[Need::Lacks(Ability::Adopt)],
        check: |harness| Box::pin(unable(harness)),
    },
];

/// As another process: with a backend of its own, from what was stored as text.
async fn adopt(
    harness: &dyn Harness,
    machine: &dyn Machine,
) -> Result<Result<Arc<dyn Machine>, Error>, String> {
    let stored = serde_json::to_string(&machine.save()).map_err(|error| error.to_string())?;
    let saved: SavedMachine = serde_json::from_str(&stored).map_err(|error| error.to_string())?;
    Ok(harness.backend().adopt(&saved).await)
}

async fn adopted(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let other = done("the adoption", adopt(harness, &*machine).await?)?;
    let (ours, theirs) = (machine.processes(), other.processes());
    ensure!(ours == theirs, "{ours:?} were adopted as {theirs:?}");
    let (ours, theirs) = (machine.agent_endpoint(), other.agent_endpoint());
    ensure!(ours == theirs, "{ours:?} was adopted as {theirs:?}");
    let (ours, theirs) = (machine.save(), other.save());
    ensure!(ours == theirs, "{ours:?} is saved again as {theirs:?}");
    Ok(())
}

async fn ended(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let other = done("the adoption", adopt(harness, &*machine).await?)?;
    let shutdown = other.shutdown(Duration::from_secs(30));
    let (exit, shut) = tokio::join!(machine.wait(), shutdown);
    done("the shutdown", shut)?;
    ensure!(!exit.program.is_empty(), "the launcher is told {exit:?}");
    stage.nothing_is_left()
}

async fn gone(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start_and_crash().await?;
    let adopted = adopt(harness, &*machine).await?;
    refused("the adoption of what ended", adopted, ErrorKind::Gone)
}

async fn dropped(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    drop(drop_after(1, adopt(harness, &*machine)).await);
    let other = done("the adoption", adopt(harness, &*machine).await?)?;
    drop(other);
    stage.power_is(Power::Running).await
}

async fn events(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let other = done("the adoption", adopt(harness, &*machine).await?)?;
    let events = other.events();
    refused("a subscription", events, ErrorKind::Unsupported)
}

async fn unable(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let adopted = adopt(harness, &*machine).await?;
    refused("the adoption", adopted, ErrorKind::Unsupported)
}
