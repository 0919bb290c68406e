//! The set-up of one more process in a container that is there.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::thread::ThreadNameSpaceType as Namespaces;

use super::program::NotRun;
use super::users::Identity;
use super::{Agent, privileges, program, resolve, streams};
use crate::container::error::{EngineError, Result, Step as _};
use crate::container::plan::ExecPlan;
use crate::container::sys;

/// Enters the container of the pidfd given and runs the program. Returns what was wrong with its
/// file.
///
/// # Errors
/// The step that failed; wrong state when the container has ended.
pub(super) fn run(
    plan: &ExecPlan,
    init: Option<&OwnedFd>,
    pipes: Option<[OwnedFd; 3]>,
    agent: &Agent,
) -> Result<NotRun> {
    let process = &plan.process;
    let init = init.ok_or_else(|| EngineError::internal("no container to enter"))?;
    privileges::hide()?;
    // The agent's /proc: the container's may be missing, or not what it seems.
    privileges::out_of_memory_score(process.oom_score_adj)?;
    enter(init)?;
    rustix::process::setsid()
        .map(drop)
        .step(|| "begin a session".to_owned())?;
    sys::new_session_keyring();
    let root = resolve::root()?;
    let terminal = match process.terminal {
        Some(wanted) => Some(streams::open_terminal(root.as_fd(), wanted)?),
        None => None,
    };
    let identity = Identity::find(&process.user, root.as_fd())?;
    drop(root);
    let terminal = streams::take(terminal, pipes, &identity)?;
    agent.ready(terminal.as_ref().map(AsFd::as_fd))?;
    drop(terminal);
    program::run(process, &identity, agent)
}

/// All namespaces but that of processes, which the spawner has seen to. This also makes the
/// container's root ours.
fn enter(init: &OwnedFd) -> Result<()> {
    let all = Namespaces::MOUNT
        | Namespaces::HOST_NAME_AND_NIS_DOMAIN_NAME
        | Namespaces::INTER_PROCESS_COMMUNICATION
        | Namespaces::NETWORK
        | Namespaces::CONTROL_GROUP;
    rustix::thread::move_into_thread_name_spaces(init.as_fd(), all).map_err(|errno| match errno {
        Errno::SRCH => EngineError::wrong_state("the container's init has ended"),
        errno => EngineError::internal(format!("enter the container's namespaces: {errno}")),
    })
}
