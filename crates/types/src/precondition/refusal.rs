//! An operation that may not begin, said so that the reader knows what to do.

use std::fmt;

use super::Operation;
use crate::{ContainerState, ErrorKind, SandboxState};

/// What stood in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The sandbox: its state, or that there is none.
    Sandbox(Option<SandboxState>),
    /// The container: its state, or that there is none.
    Container(Option<ContainerState>),
}

/// An operation was refused because of the state of its object. The text names the operation, the
/// state, the wanted states and what to do; ids are for the caller to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    operation: Operation,
    found: Found,
}

impl Refusal {
    pub(super) const fn new(operation: Operation, found: Found) -> Self {
        Self { operation, found }
    }

    /// The operation that was refused.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The state that it met.
    pub const fn found(&self) -> Found {
        self.found
    }

    /// `NotFound` for an object that does not exist, `AlreadyExists` for one that should not,
    /// `WrongState` otherwise.
    pub const fn kind(&self) -> ErrorKind {
        match self.found {
            Found::Sandbox(None) | Found::Container(None) => ErrorKind::NotFound,
            Found::Sandbox(Some(_)) if self.operation.sandbox_states().is_none() => {
                ErrorKind::AlreadyExists
            }
            Found::Container(Some(_)) if self.operation.container_states().is_none() => {
                ErrorKind::AlreadyExists
            }
            Found::Sandbox(Some(_)) | Found::Container(Some(_)) => ErrorKind::WrongState,
        }
    }

    /// The next step that a person can take.
    fn advice(&self) -> &'static str {
        match self.found {
            Found::Sandbox(None) => "create it first",
            Found::Sandbox(Some(state)) => self.for_sandbox(state),
            Found::Container(None) => "create it first",
            Found::Container(Some(state)) => self.for_container(state),
        }
    }

    fn for_sandbox(&self, state: SandboxState) -> &'static str {
        use SandboxState::{Creating, Failed, Paused, Ready, Running, Stopped, Stopping};
        match (self.operation, state) {
            (Operation::CreateSandbox | Operation::RunSandbox, _) => {
                "use another id, or delete it first"
            }
            (Operation::DeleteSandbox, Creating | Running | Stopping) => {
                "stop it first, or delete it with force"
            }
            (Operation::StartSandbox, Running) => "it needs no start",
            (Operation::ResumeSandbox, Ready | Running) => "it needs no resume",
            (Operation::PauseSandbox, Paused) => "it needs no pause",
            (_, Creating) => "wait until it is created",
            (_, Ready | Stopped) => "start it first",
            (_, Running) => "stop it first",
            (_, Paused) => "resume it first",
            (_, Stopping) => "wait until it is stopped, or stop it again",
            (_, Failed) => "delete it and create it again",
        }
    }

    fn for_container(&self, state: ContainerState) -> &'static str {
        use ContainerState::{Created, Paused, Running, Stopped};
        match (self.operation, state) {
            (Operation::CreateContainer, _) => "use another id, or delete it first",
            (Operation::DeleteContainer, Running | Paused) => "stop it first",
            (Operation::StartContainer, Running) => "it needs no start",
            (Operation::ResumeContainer, Created | Running) => "it needs no resume",
            (Operation::PauseContainer, Paused) => "it needs no pause",
            (Operation::KillContainer | Operation::SignalProcess, Stopped) => {
                "it has ended, and gets no signals any more"
            }
            (_, Created) => "start it first",
            (_, Running) => "stop it first",
            (_, Paused) => "resume it first",
            (_, Stopped) => "it starts again only with its sandbox: stop and start that",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (object, state, wanted) = match self.found {
            Found::Sandbox(state) => (
                "sandbox",
                state.map(SandboxState::as_str),
                words(
                    self.operation.sandbox_states(),
                    SandboxState::ALL.len(),
                    SandboxState::as_str,
                ),
            ),
            Found::Container(state) => (
                "container",
                state.map(ContainerState::as_str),
                words(
                    self.operation.container_states(),
                    ContainerState::ALL.len(),
                    ContainerState::as_str,
                ),
            ),
        };
        let (name, advice) = (self.operation, self.advice());
        match (state, wanted.as_str()) {
            (None, "") => write!(f, "{name}: there is no such {object}: {advice}"),
            (None, wanted) => {
                write!(
                    f,
                    "{name} wants a {wanted} {object}, and there is none: {advice}"
                )
            }
            (Some(state), "") => {
                write!(
                    f,
                    "{name} wants a new {object}, and this one is {state}: {advice}"
                )
            }
            (Some(state), wanted) => {
                write!(
                    f,
                    "{name} wants a {wanted} {object}, and this one is {state}: {advice}"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// The states as a list for people; empty when all `count` will do or there is none to name.
fn words<S: Copy>(
    states: Option<&'static [S]>,
    count: usize,
    name: fn(S) -> &'static str,
) -> String {
    let states = states.filter(|states| states.len() < count);
    let names: Vec<&str> = states
        .unwrap_or_default()
        .iter()
        .map(|s| name(*s))
        .collect();
    match &names[..] {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
