//! The lines of a history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use virtcontainers::types::{ContainerId, ContainerState, Operation, SandboxState};

/// The annotation that tells one sandbox from the next one of the same id.
pub const INCARNATION: &str = "incarnation";

/// One line: what happened between two moments of the host's monotonic clock, in nanoseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// Not before this.
    pub from: u64,
    /// Not after this.
    pub to: u64,
    /// Who says so.
    pub process: u32,
    /// During which of its calls; absent for a supervisor.
    pub call: Option<u64>,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A call begins.
    Began(Call),
    /// A call ends.
    Ended(Ending),
    /// The record was read.
    Read(Seen),
    /// There was no record to read.
    Missed,
    /// The record was replaced by somebody who holds its lock for this operation.
    Wrote {
        /// The operation, as the holder calls it.
        by: String,
        /// The new record.
        seen: Seen,
    },
    /// The record was removed. `None` when it could not be read before.
    Removed(Option<Seen>),
}

/// A record, as far as a history needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its generation.
    pub generation: u64,
    /// The sandbox's state.
    pub state: SandboxState,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The states of its containers.
    pub containers: BTreeMap<ContainerId, ContainerState>,
}

impl Seen {
    /// Which of the sandboxes of this id it is.
    pub fn incarnation(&self) -> &str {
        let found = self.annotations.get(INCARNATION);
        found.map_or("", String::as_str)
    }

    /// The state of a container.
    pub fn container(&self, container: Option<&ContainerId>) -> Option<ContainerState> {
        self.containers.get(container?).copied()
    }
}

/// An operation that was called, and on which container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The operation.
    pub verb: Verb,
    /// The container that it is about.
    #[serde(default)]
    pub container: Option<ContainerId>,
    /// What a [`Verb::Annotate`] sets: the caller's own key, and a number that only grows.
    #[serde(default)]
    pub annotation: Option<(String, u64)>,
    /// Said to be carried out whatever the state is.
    #[serde(default)]
    pub force: bool,
}

impl Call {
    /// A call about the sandbox as a whole.
    pub const fn of(verb: Verb) -> Self {
        Self {
            verb,
            container: None,
            annotation: None,
            force: false,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Well.
    Done {
        /// The generation that its result names, if it names one.
        generation: Option<u64>,
        /// The state that its result names.
        state: Option<SandboxState>,
    },
    /// With an error.
    Refused {
        /// The error's kind.
        kind: String,
        /// The error with its causes.
        message: String,
    },
}

/// The operations that actors call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// `create_sandbox`.
    Create,
    /// `start_sandbox`.
    Start,
    /// `stop_sandbox`.
    Stop,
    /// `pause_sandbox`.
    Pause,
    /// `resume_sandbox`.
    Resume,
    /// `delete_sandbox`.
    Delete,
    /// `status_sandbox`.
    Status,
    /// `list_sandboxes`.
    List,
    /// `set_annotations`.
    Annotate,
    /// `create_container`.
    CreateContainer,
    /// `start_container`.
    StartContainer,
    /// `stop_container`.
    StopContainer,
    /// `delete_container`.
    DeleteContainer,
    /// `kill_container` with SIGKILL.
    Kill,
    /// `enter_container`.
    Exec,
    /// `recover`.
    Recover,
}

impl Verb {
    /// Every verb, for command lines.
    pub const ALL: [Self; 16] = [
        Self::Create,
        Self::Start,
        Self::Stop,
        Self::Pause,
        Self::Resume,
        Self::Delete,
        Self::Status,
        Self::List,
        Self::Annotate,
        Self::CreateContainer,
        Self::StartContainer,
        Self::StopContainer,
        Self::DeleteContainer,
        Self::Kill,
        Self::Exec,
        Self::Recover,
    ];

    /// The operation in the table of preconditions; `None` for one that looks at all sandboxes.
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::Create => Some(Operation::CreateSandbox),
            Self::Start => Some(Operation::StartSandbox),
            Self::Stop => Some(Operation::StopSandbox),
            Self::Pause => Some(Operation::PauseSandbox),
            Self::Resume => Some(Operation::ResumeSandbox),
            Self::Delete => Some(Operation::DeleteSandbox),
            Self::Status => Some(Operation::StatusSandbox),
            Self::Annotate => Some(Operation::SetAnnotations),
            Self::CreateContainer => Some(Operation::CreateContainer),
            Self::StartContainer => Some(Operation::StartContainer),
            Self::StopContainer => Some(Operation::StopContainer),
            Self::DeleteContainer => Some(Operation::DeleteContainer),
            Self::Kill => Some(Operation::KillContainer),
            Self::Exec => Some(Operation::EnterContainer),
            Self::List | Self::Recover => None,
        }
    }

    /// Whether it changes the record when it succeeds, unless all is as it wants it already.
    pub const fn writes(self) -> bool {
        !matches!(
            self,
            Self::Status | Self::List | Self::Kill | Self::Exec | Self::Recover
        )
    }
}
