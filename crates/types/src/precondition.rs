//! What must be so before an operation may begin: one table for the whole API.
//!
//! The table says for each [`Operation`] which lock it takes and in which states of the sandbox and
//! of the container it is allowed. [`check`] asks it. Where an operation is also a
//! [`Command`], the table and [`decide`](crate::decide) agree; a test compares them.
//! States of one object that an operation does not name are not looked at.

mod operation;
mod refusal;
mod table;

pub use operation::{LockKind, Operation};
pub use refusal::{Found, Refusal};

use crate::{Command, ContainerState, SandboxState};
use table::Wanted;

impl Operation {
    /// The name, as in the API, in spans and in logs: `start_sandbox`.
    pub const fn name(self) -> &'static str {
        table::of(self).name
    }

    /// What it works on: `sandbox`, `container`, `process`, `device` or `network`.
    pub const fn subsystem(self) -> &'static str {
        table::of(self).subsystem
    }

    /// The lock of the sandbox that it takes.
    pub const fn lock(self) -> LockKind {
        table::of(self).lock
    }

    /// The command to the lifecycle that it gives, if it gives one.
    pub const fn command(self) -> Option<Command> {
        match self {
            Self::CreateSandbox | Self::RunSandbox => Some(Command::Create),
            Self::StartSandbox => Some(Command::Start),
            Self::StopSandbox => Some(Command::Stop),
            Self::DeleteSandbox => Some(Command::Delete),
            Self::PauseSandbox => Some(Command::Pause),
            Self::ResumeSandbox => Some(Command::Resume),
            _ => None,
        }
    }

    /// The states of the sandbox that allow it; `None` where it must not or need not exist.
    pub const fn sandbox_states(self) -> Option<&'static [SandboxState]> {
        match table::of(self).sandbox {
            Wanted::In(states) => Some(states),
            Wanted::Any | Wanted::Absent => None,
        }
    }

    /// The states of the container that allow it; `None` where it must not or need not exist.
    pub const fn container_states(self) -> Option<&'static [ContainerState]> {
        match table::of(self).container {
            Wanted::In(states) => Some(states),
            Wanted::Any | Wanted::Absent => None,
        }
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether `operation` may begin on a sandbox and a container in these states; `None` stands for
/// one that does not exist, or that the operation is not about.
///
/// The sandbox is looked at first. Errors: a [`Refusal`], whose kind is `NotFound`,
/// `AlreadyExists` or `WrongState`.
///
/// ```
/// use virtcontainers_types::{Operation, SandboxState, check};
///
/// assert!(check(Operation::PauseSandbox, SandboxState::Running, None).is_ok());
/// let refusal = check(Operation::PauseSandbox, SandboxState::Stopped, None).unwrap_err();
/// assert_eq!(
///     refusal.to_string(),
///     "pause_sandbox wants a running sandbox, and this one is stopped: start it first"
/// );
/// ```
pub fn check(
    operation: Operation,
    sandbox: impl Into<Option<SandboxState>>,
    container: impl Into<Option<ContainerState>>,
) -> Result<(), Refusal> {
    let row = table::of(operation);
    let (sandbox, container) = (sandbox.into(), container.into());
    if !allows(row.sandbox, sandbox) {
        return Err(Refusal::new(operation, Found::Sandbox(sandbox)));
    }
    if !allows(row.container, container) {
        return Err(Refusal::new(operation, Found::Container(container)));
    }
    Ok(())
}

fn allows<S: PartialEq>(wanted: Wanted<S>, state: Option<S>) -> bool {
    match wanted {
        Wanted::Any => true,
        Wanted::Absent => state.is_none(),
        Wanted::In(states) => state.is_some_and(|state| states.contains(&state)),
    }
}

#[cfg(test)]
mod tests;
