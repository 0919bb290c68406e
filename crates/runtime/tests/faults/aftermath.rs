//! After a fault: recover, look whether what is sound is whole, use it, delete it.

use std::time::{Duration, Instant};

use tokio::task::yield_now;
use virtcontainers_runtime::{Error, ErrorKind, Recovery, Runtime};
use virtcontainers_testkit::hypervisor::Power;
use virtcontainers_types::{
    ContainerId, ContainerState, ContainerStatus, SandboxState, SandboxStatus,
};

use crate::act::{Act, exec};
use crate::links;
use crate::stage::Stage;

/// What others do by themselves is done by then.
const PATIENCE: Duration = Duration::from_secs(10);
/// Somebody may be at the sandbox for so many looks.
const BUSY: usize = 50;

/// Recovers, and checks everything that can be checked of a sandbox that is left. Says what is
/// wrong.
pub(crate) async fn check(stage: &Stage, act: Act) -> Result<(), String> {
    let runtime = stage.runtime();
    let checked = check_with(stage, &runtime, act).await;
    if checked.is_err() {
        // Not even a test that fails leaves machines on the host, if that can be helped.
        drop(runtime.delete_sandbox(&stage.id(), true).await);
    }
    checked
}

async fn check_with(stage: &Stage, runtime: &Runtime, act: Act) -> Result<(), String> {
    recovered(stage, runtime, act).await?;
    let id = &stage.id();
    if act.is_attached() {
        at_last(async || ended(stage, runtime, act).await).await?;
    }
    match runtime.status_sandbox(id).await {
        Ok(_) => {
            whole_at_last(stage, runtime, act).await?;
            connected(stage, runtime).await?;
            usable(stage, runtime).await?;
            let deleted = runtime.delete_sandbox(id, true).await;
            deleted.map_err(|error| format!("delete: {}", text(&error)))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(format!("status: {}", text(&error))),
    }
    let left = runtime.list_sandboxes().await.map_err(|e| text(&e))?;
    if !left.is_empty() {
        return Err(format!("still listed: {left:?}"));
    }
    match stage.violations() {
        violations if violations.is_empty() => Ok(()),
        violations => Err(format!("the agent was mistreated: {violations:?}")),
    }
}

/// Whether the sandbox has ended, its record or its machine.
async fn ended(stage: &Stage, runtime: &Runtime, act: Act) -> Result<(), String> {
    recovered(stage, runtime, act).await?;
    match runtime.status_sandbox(&stage.id()).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(status) if !status.state.is_live() => Ok(()),
        status => Err(format!("its creator is gone, and it is {status:?}")),
    }
}

/// Recovers until nobody is busy; then once or twice more, which must find all well in the end.
async fn recovered(stage: &Stage, runtime: &Runtime, act: Act) -> Result<(), String> {
    let mut looks = 0;
    loop {
        let mut busy = false;
        for one in runtime.recover(false).await.map_err(|e| text(&e))? {
            match one.outcome {
                Ok(Recovery::Busy) => busy = true,
                Ok(_) => {}
                Err(error) => return Err(format!("recover: {}", text(&error))),
            }
        }
        if !busy {
            break;
        }
        looks += 1;
        if looks > BUSY {
            return Err("somebody stays busy".to_owned());
        }
        // Waits for the lease; whoever has it is at its end.
        drop(runtime.fetch_sandbox(&stage.id()).await);
    }
    if at_rest(runtime, act, "second").await? {
        return Ok(());
    }
    match at_rest(runtime, act, "third").await? {
        true => Ok(()),
        false => Err("a third recover found what the second had undone".to_owned()),
    }
}

/// Whether a recovery finds all well; not when a supervisor came to its end only after the one before,
/// which found it alive.
async fn at_rest(runtime: &Runtime, act: Act, which: &str) -> Result<bool, String> {
    let mut rest = true;
    for one in runtime.recover(false).await.map_err(|e| text(&e))? {
        match one.outcome {
            Ok(Recovery::Sound | Recovery::Busy) => {}
            // Its supervisor removes it meanwhile.
            Ok(Recovery::Removed) if act.is_attached() => {}
            Ok(Recovery::Undone) => rest = false,
            outcome => return Err(format!("a {which} recover found {outcome:?}")),
        }
    }
    Ok(rest)
}

/// Supervisors see the end of machines and containers by themselves, and write it down when they get
/// the lease. Gives them the time; one that had come to its end during the fault, and so could not
/// undo everything, may have left more for a recovery.
async fn whole_at_last(stage: &Stage, runtime: &Runtime, act: Act) -> Result<(), String> {
    at_last(async || {
        let looked = whole(stage, &status(runtime, stage).await?).await;
        if looked.is_err() {
            recovered(stage, runtime, act).await?;
        }
        looked
    })
    .await
}

/// Looks again and again, until all is well or it has lasted too long.
pub(crate) async fn at_last(look: impl AsyncFn() -> Result<(), String>) -> Result<(), String> {
    let since = Instant::now();
    loop {
        match look().await {
            Err(_) if since.elapsed() < PATIENCE => yield_now().await,
            looked => return looked,
        }
    }
}

/// Nothing half-made is left of what is sound.
async fn whole(stage: &Stage, status: &SandboxStatus) -> Result<(), String> {
    let wanted = match status.state {
        SandboxState::Ready | SandboxState::Running => Power::Running,
        SandboxState::Paused => Power::Paused,
        SandboxState::Stopped | SandboxState::Failed => Power::Ended,
        SandboxState::Creating | SandboxState::Stopping => {
            return Err(format!("it is {} after a recovery", status.state));
        }
    };
    let power = stage.power().await;
    if power != wanted {
        return Err(format!("it is {} and its machine {power}", status.state));
    }
    let ids = |stopped: bool| -> Vec<String> {
        let all = status.containers.iter();
        let some = all.filter(|known| stopped || known.state != ContainerState::Stopped);
        some.map(|known| known.id.to_string()).collect()
    };
    let (live, known) = (ids(false), ids(true));
    let wrong = |place: &str, found: &[String], extra: Option<&String>| {
        let missing = live.iter().find(|one| !found.contains(one));
        match extra.or(missing) {
            Some(_) => Err(format!(
                "{place} {found:?}, recorded are {live:?} of {known:?}"
            )),
            None => Ok(()),
        }
    };
    // A container that ended may be there still, until it is removed.
    let unknown = |found: &[String]| found.iter().find(|one| !known.contains(one)).cloned();
    if let Some((all, living)) = stage.guest_containers().await {
        let ended = living.iter().find(|one| !live.contains(one));
        wrong("the guest has", &all, unknown(&all).as_ref())?;
        wrong("in the guest live", &living, ended)?;
    }
    if let Some(shared) = stage.shared_containers() {
        wrong("shared is", &shared, unknown(&shared).as_ref())?;
    }
    Ok(())
}

/// What is recorded of the network is what there is in the namespace and in the machine.
async fn connected(stage: &Stage, runtime: &Runtime) -> Result<(), String> {
    let recorded = runtime.network(&stage.id()).await.map_err(|e| text(&e))?;
    let mut recorded: Vec<_> = recorded
        .interfaces
        .into_iter()
        .map(|one| one.device)
        .collect();
    recorded.sort();
    let (links, filters) = links::connections(&stage.namespace());
    let devices = stage.network_devices();
    // A tap for each, and filters on both it and the link.
    let as_recorded = links.len() == recorded.len() && filters.len() == 2 * recorded.len();
    if as_recorded && devices.as_ref().is_none_or(|there| *there == recorded) {
        return Ok(());
    }
    Err(format!(
        "recorded are the devices {recorded:?}, in the namespace are {links:?} and {filters:?}, in the machine {devices:?}"
    ))
}

/// What is sound does what it is for.
async fn usable(stage: &Stage, runtime: &Runtime) -> Result<(), String> {
    let id = &stage.id();
    let failed = |what: &'static str| move |error| format!("{what}: {}", text(&error));
    let state = status(runtime, stage).await?.state;
    match state {
        SandboxState::Ready | SandboxState::Stopped => {
            let started = runtime.start_sandbox(id).await;
            started.map_err(failed("start"))?;
        }
        SandboxState::Paused => drop(runtime.resume_sandbox(id).await.map_err(failed("resume"))?),
        SandboxState::Failed => return Ok(()),
        SandboxState::Running | SandboxState::Creating | SandboxState::Stopping => {}
    }
    for known in status(runtime, stage).await?.containers {
        match used(stage, runtime, &known).await {
            // Its end, of before, is noted only now.
            Err(error) if error.kind() == ErrorKind::WrongState => {
                has_stopped(stage, runtime, &known.id, &error).await?;
            }
            used => used.map_err(failed("use of a container"))?,
        }
    }
    let state = status(runtime, stage).await?.state;
    match state {
        SandboxState::Running => Ok(()),
        state => Err(format!("it is {state} after it was used")),
    }
}

/// Has a container run, and run another program.
async fn used(stage: &Stage, runtime: &Runtime, known: &ContainerStatus) -> Result<(), Error> {
    let (id, container) = (&stage.id(), &known.id);
    match known.state {
        ContainerState::Created => drop(runtime.start_container(id, container).await?),
        ContainerState::Paused => drop(runtime.resume_container(id, container).await?),
        ContainerState::Running => {}
        ContainerState::Stopped => return Ok(()),
    }
    let ended = exec(stage, runtime, container.clone()).await?;
    assert_eq!(ended.0, 0, "the program in {container} failed");
    Ok(())
}

/// Whether a container, which should have done something, is at least known to have stopped.
async fn has_stopped(
    stage: &Stage,
    runtime: &Runtime,
    container: &ContainerId,
    error: &Error,
) -> Result<(), String> {
    at_last(async || {
        let containers = status(runtime, stage).await?.containers;
        let known = containers.iter().find(|known| known.id == *container);
        match known.map(|known| known.state) {
            Some(ContainerState::Stopped) => Ok(()),
            state => Err(format!("a container that is {state:?}: {}", text(error))),
        }
    })
    .await
}

async fn status(runtime: &Runtime, stage: &Stage) -> Result<SandboxStatus, String> {
    let status = runtime.status_sandbox(&stage.id()).await;
    status.map_err(|error| format!("status: {}", text(&error)))
}

/// An error with its causes.
pub(crate) fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
