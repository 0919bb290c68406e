//! `ExecProcess`: one more process in a container, running at once.

use virtcontainers_agent_proto::agent::ExecProcessRequest;

use super::create::terminal_size;
use crate::agent::Agent;
use crate::container;
use crate::containers::Phase;
use crate::process::Process;
use crate::status::{Failure, Result};
use crate::{stdio, sys};

/// Starts the process. Not to be dropped half-way: run as a task of its own.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container or a broken process, ALREADY_EXISTS for the id of a
/// process that nobody has waited for yet, FAILED_PRECONDITION when the container is going,
/// whatever the engine says when the program cannot be started.
pub(crate) async fn exec(agent: &Agent, request: ExecProcessRequest) -> Result<()> {
    let container = agent.containers.get(&request.container_id)?;
    let process = request
        .process
        .into_option()
        .ok_or_else(|| Failure::invalid("an exec needs an OCI process"))?;
    // Execs of one container run side by side, but not into its removal.
    let _turn = container.turn.read().await;
    match container.phase() {
        Phase::Created | Phase::Running => {}
        Phase::Paused { .. } => {
            return Err(Failure::wrong_state(format!(
                "container {} is paused",
                container.id
            )));
        }
        Phase::Removing => return Err(Failure::no_container(&container.id)),
    }
    let reservation = container.reserve(&request.exec_id)?;
    let terminal = process.Terminal.then(|| terminal_size(&process));
    let process = container::from_proto::process(&process)?;
    let (streams, child) = stdio::prepare(terminal, agent.config.container_pipe_size)?;
    let spawning = agent.reaper.spawning();
    let spawned = agent
        .engine
        .exec(&container.id, &request.exec_id, process, child)
        .await
        .map_err(|error| {
            Failure::from(error).within(format!("exec in container {}", container.id))
        })?;
    let exit = agent.reaper.watch(spawned.pid);
    drop(spawning);
    let streams = streams.finish(spawned.terminal).inspect_err(|_| {
        if exit.status().is_none()
            && let Err(error) = sys::kill(spawned.pid, libc::SIGKILL)
        {
            log::warn!("end process {}: {error}", spawned.pid);
        }
    })?;
    reservation.fill(Process::new(spawned.pid, exit, streams));
    Ok(())
}
