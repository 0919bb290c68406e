//! Requests that move a created container on, or change or read its limits.

use virtcontainers_agent_proto::agent::StatsContainerResponse;
use virtcontainers_agent_proto::oci::LinuxResources;

use crate::agent::Agent;
use crate::container;
use crate::containers::{Container, Phase};
use crate::network;
use crate::status::{Failure, Result};

/// Lets the created init run its program.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container; FAILED_PRECONDITION when it was started before or
/// its init has ended; whatever the engine says when the program cannot be run.
pub(crate) async fn start(agent: &Agent, id: &str) -> Result<()> {
    let container = agent.containers.get(id)?;
    let _turn = container.turn.write().await;
    if container.phase() != Phase::Created {
        return Err(wrong(&container, "be started"));
    }
    let ended = container
        .process("")
        .map_or(true, |init| init.exit.status().is_some());
    if ended {
        return Err(Failure::wrong_state(format!(
            "container {id}: its init has ended"
        )));
    }
    agent
        .engine
        .start(id)
        .await
        .map_err(|error| Failure::from(error).within(format!("start container {id}")))?;
    container.set_phase(Phase::Running);
    Ok(())
}

/// Freezes all processes.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container, FAILED_PRECONDITION unless created or running.
pub(crate) async fn pause(agent: &Agent, id: &str) -> Result<()> {
    let container = agent.containers.get(id)?;
    let _turn = container.turn.write().await;
    let started = match container.phase() {
        Phase::Created => false,
        Phase::Running => true,
        _ => return Err(wrong(&container, "be paused")),
    };
    agent.engine.pause(id).await?;
    container.set_phase(Phase::Paused { started });
    Ok(())
}

/// Lets a paused container go on. One that is not paused goes on already: that is success, so
/// that a caller who does not know may ask.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container, FAILED_PRECONDITION when it is being removed.
pub(crate) async fn resume(agent: &Agent, id: &str) -> Result<()> {
    let container = agent.containers.get(id)?;
    let _turn = container.turn.write().await;
    let started = match container.phase() {
        Phase::Paused { started } => started,
        Phase::Created | Phase::Running => return Ok(()),
        Phase::Removing => return Err(wrong(&container, "be resumed")),
    };
    agent.engine.resume(id).await?;
    container.set_phase(if started {
        Phase::Running
    } else {
        Phase::Created
    });
    Ok(())
}

/// Applies new limits. None given: nothing to do.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container or a limit that makes no sense, INTERNAL when the
/// kernel refuses.
pub(crate) async fn update(
    agent: &Agent,
    id: &str,
    resources: Option<&LinuxResources>,
) -> Result<()> {
    let container = agent.containers.get(id)?;
    let Some(resources) = resources else {
        return Ok(());
    };
    let resources = container::from_proto::resources(resources)?;
    let _turn = container.turn.read().await;
    Ok(agent.engine.update(id, resources).await?)
}

/// Reads the counters of the container's cgroup, and of its network while its init runs. Takes no
/// turn, so that it works whatever else is going on.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container, INTERNAL when they cannot be read.
pub(crate) async fn stats(agent: &Agent, id: &str) -> Result<StatsContainerResponse> {
    let container = agent.containers.get(id)?;
    let mut stats = agent.engine.stats(&container.id).await?;
    let running = container.running();
    let init = running.iter().find(|(exec, _)| container.is_init(exec));
    stats.network_stats = init.map_or_else(Vec::new, |(_, pid)| network::counters(*pid));
    Ok(stats)
}

fn wrong(container: &Container, wish: &str) -> Failure {
    let state = match container.phase() {
        Phase::Created => "created",
        Phase::Running => "running or over",
        Phase::Paused { .. } => "paused",
        Phase::Removing => "being removed",
    };
    Failure::wrong_state(format!(
        "container {} cannot {wish}: it is {state}",
        container.id
    ))
}
