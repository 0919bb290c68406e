//! What a freshly cloned process does until it becomes the container's program.
//!
//! It is a copy of the spawner with a single thread, in the container's cgroup and cloned
//! namespaces. Nothing here returns to the spawner's life: [`main`] ends in the program, or in an
//! exit.
//!
//! A failure of set-up goes to the agent as an error. Once the program is to be executed, a
//! missing or unusable file is the program's own failure: a line on its stderr and the status
//! that a shell would give, 127 or 126.

mod copy_up;
mod exec;
mod hooks;
mod init;
mod masks;
mod mounts;
mod nodes;
mod privileges;
mod program;
mod resolve;
mod rootfs;
mod streams;
mod sysctl;
mod users;

pub(crate) use users::names as user_names;

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::de::DeserializeOwned;

use super::error::{EngineError, Result, Step as _};
use super::sys;
use super::wire::{self, Go, Reply, Role};

/// Status of a process whose set-up failed; only those see it who wait for it nevertheless.
const FAILED: i32 = 1;

/// What the new process has from the spawner.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// What it is to become.
    pub(crate) role: Role,
    /// Where its replies go; the agent closes its end when it gives up.
    pub(crate) reply: OwnedFd,
    /// The plan.
    pub(crate) plan: OwnedFd,
    /// Of an exec: the pidfd of the container's init.
    pub(crate) join_pid: Option<OwnedFd>,
    /// stdin, stdout and stderr.
    pub(crate) pipes: Option<[OwnedFd; 3]>,
}

/// The life of a container's process before its program.
pub(crate) fn main(inheritance: Inheritance) -> ! {
    let Inheritance {
        role,
        reply,
        plan,
        join_pid,
        pipes,
    } = inheritance;
    let agent = Agent { socket: reply };
    let result = match role {
        Role::Init => read_plan(plan).and_then(|plan| init::run(&plan, pipes, &agent)),
        Role::Exec => {
            read_plan(plan).and_then(|plan| exec::run(&plan, join_pid.as_ref(), pipes, &agent))
        }
    };
    let status = match result {
        Ok(failure) => failure.report(),
        Err(error) => {
            agent.failed(error);
            FAILED
        }
    };
    sys::exit_now(status)
}

fn read_plan<T: DeserializeOwned>(plan: OwnedFd) -> Result<T> {
    let mut bytes = Vec::new();
    File::from(plan)
        .read_to_end(&mut bytes)
        .step(|| "read the plan".to_owned())?;
    postcard::from_bytes(&bytes)
        .map_err(|error| EngineError::internal(format!("read the plan: {error}")))
}

/// The agent, as the new process sees it.
#[derive(Debug)]
struct Agent {
    socket: OwnedFd,
}

impl Agent {
    /// Says that everything that can go wrong before the start went well.
    fn ready(&self, terminal: Option<BorrowedFd<'_>>) -> Result<()> {
        let fds: Vec<_> = terminal.into_iter().collect();
        wire::send(&self.socket, &Reply::Ready, &fds).step(|| "report to the agent".to_owned())
    }

    /// Waits for the order to go. If it never comes, because the agent gave up, this is the end.
    fn wait_for_start(&self) {
        match wire::receive::<Go>(&self.socket) {
            Ok(Some((Go::Now, _))) => {}
            Ok(None) | Err(_) => sys::exit_now(FAILED),
        }
    }

    /// Says that only `execve` is left.
    fn running(&self) -> Result<()> {
        wire::send(&self.socket, &Reply::Running, &[]).step(|| "report to the agent".to_owned())
    }

    fn failed(&self, error: EngineError) {
        // If the agent is gone, nobody wants to know.
        wire::send(
            self.socket.as_fd(),
            &Reply::Failed(wire::fitting(error)),
            &[],
        )
        .ok();
    }
}
