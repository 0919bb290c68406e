//! `RemoveContainer`: ends what runs and leaves nothing.

use std::sync::Arc;
use std::time::Duration;

use super::bundle;
use crate::agent::Agent;
use crate::containers::{Container, Phase};
use crate::status::{Failure, Result};

/// Removes a container. Zero seconds wait as long as it takes.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container, DEADLINE_EXCEEDED when it took longer (it goes on in
/// the background), INTERNAL when something stays; then it can be tried again.
pub(crate) async fn remove(agent: &Arc<Agent>, id: &str, seconds: u32) -> Result<()> {
    let container = agent.containers.get(id)?;
    if seconds == 0 {
        return remove_now(agent, &container).await;
    }
    let background = Arc::clone(agent);
    let task = tokio::spawn(async move { remove_now(&background, &container).await });
    match tokio::time::timeout(Duration::from_secs(seconds.into()), task).await {
        Ok(done) => done.unwrap_or_else(|error| Err(Failure::internal(error.to_string()))),
        Err(_) => Err(Failure::timeout(format!(
            "remove container {id}: not done within {seconds} s, going on in the background"
        ))),
    }
}

/// Removes a container, however long it takes. Not to be dropped half-way.
///
/// # Errors
/// INTERNAL when something stays.
pub(crate) async fn remove_now(agent: &Agent, container: &Arc<Container>) -> Result<()> {
    let _turn = container.turn.write().await;
    let id = container.id.as_str();
    // Somebody else may have been faster while this call waited for its turn.
    if !agent
        .containers
        .get(id)
        .is_ok_and(|here| Arc::ptr_eq(&here, container))
    {
        return Err(Failure::no_container(id));
    }
    container.set_phase(Phase::Removing);
    let within = |failure: Failure| failure.within(format!("remove container {id}"));
    agent
        .engine
        .kill_all(id)
        .await
        .map_err(|error| within(error.into()))?;
    for process in container.processes() {
        process.exit.wait().await;
    }
    agent
        .engine
        .remove(id)
        .await
        .map_err(|error| within(error.into()))?;
    bundle::unmake(&agent.config.bundle(id));
    agent.storages.release_all(&container.storages).await;
    container.forget_all();
    agent.containers.forget(container);
    crate::sys::trim_memory();
    Ok(())
}
