//! The lifecycle of a sandbox: its states, and the one function that moves between them.
//!
//! ```text
//!              create            boot done           start             pause
//!   (none) ──────────► creating ───────────► ready ─────────► running ◄───────► paused
//!                          │ boot failed       │ stop            │ stop   resume   │ stop
//!                          ▼                   ▼                 ▼                 │
//!                        failed ◄─────────  stopping ◄───────────┴─────────────────┘
//!                          ▲    stop failed    │ machine ended
//!                          │ machine lost      ▼
//!                     (any live state)      stopped ── start ──► creating
//! ```
//!
//! Commands may be refused; facts never are: what was observed is so.

use serde::{Deserialize, Serialize};

/// The state of a sandbox. The names are those of the original library, plus `creating`,
/// `stopping` and `failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxState {
    /// The machine is being set up.
    Creating,
    /// The machine is up, its containers are created, none was started.
    Ready,
    /// A container was started.
    Running,
    /// The machine's CPUs are halted.
    Paused,
    /// The machine is being taken down.
    Stopping,
    /// The machine is gone, the record remains.
    Stopped,
    /// Something was lost; what remains is to clean up.
    Failed,
}

impl SandboxState {
    /// Every state, for tables.
    pub const ALL: [Self; 7] = [
        Self::Creating,
        Self::Ready,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
    ];

    /// The state's public name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// The status word of the OCI runtime specification (`state` operation).
    pub const fn oci_status(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "created",
            Self::Running | Self::Stopping => "running",
            Self::Paused => "paused",
            Self::Stopped | Self::Failed => "stopped",
        }
    }

    /// Whether a virtual machine may exist in this state.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Creating | Self::Ready | Self::Running | Self::Paused | Self::Stopping => true,
            Self::Stopped | Self::Failed => false,
        }
    }
}

impl std::fmt::Display for SandboxState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Created; its program does not run yet.
    Created,
    /// Its program was started.
    Running,
    /// Its processes are frozen, or the machine's CPUs are halted.
    Paused,
    /// Its program ended, or its machine was lost.
    Stopped,
}

impl ContainerState {
    /// Every state, for tables.
    pub const ALL: [Self; 4] = [Self::Created, Self::Running, Self::Paused, Self::Stopped];

    /// The state's public name, which is also the status word of the OCI runtime specification.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for ContainerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What somebody asks of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Make it.
    Create,
    /// Start its containers; boots it again when it was stopped.
    Start,
    /// Halt its CPUs.
    Pause,
    /// Let its CPUs go on.
    Resume,
    /// End its machine.
    Stop,
    /// Remove it.
    Delete,
}

impl Command {
    /// Every command, for tables.
    pub const ALL: [Self; 6] = [
        Self::Create,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Stop,
        Self::Delete,
    ];
}

/// What was observed of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The machine answers and its containers are created.
    BootDone,
    /// The machine did not come up.
    BootFailed,
    /// The machine ended.
    MachineExited,
    /// Taking the machine down did not succeed to the end.
    StopFailed,
}

impl Fact {
    /// Every fact, for tables.
    pub const ALL: [Self; 4] = [
        Self::BootDone,
        Self::BootFailed,
        Self::MachineExited,
        Self::StopFailed,
    ];
}

/// A command or a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// Somebody asks.
    Command(Command),
    /// Something happened.
    Fact(Fact),
}

/// The answer to an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The sandbox is now in this state.
    Become(SandboxState),
    /// Nothing changes, and that is right.
    Stay,
    /// Stop first, then ask again.
    StopFirst,
    /// The record goes.
    Remove,
    /// The command is refused in this state; `wanted` are the states that allow it.
    Refuse {
        /// The states in which the command is allowed.
        wanted: &'static [SandboxState],
    },
}

/// Decides what an input does to a sandbox in `state` (`None`: there is no record).
///
/// Total and pure; the only code that produces a [`SandboxState`].
pub fn decide(state: Option<SandboxState>, input: Input) -> Decision {
    use Decision::{Become, Refuse, Remove, Stay, StopFirst};
    use SandboxState::{Creating, Failed, Paused, Ready, Running, Stopped, Stopping};

    let Some(state) = state else {
        return match input {
            Input::Command(Command::Create) => Become(Creating),
            Input::Command(
                Command::Start | Command::Pause | Command::Resume | Command::Stop | Command::Delete,
            ) => Refuse { wanted: &[] },
            Input::Fact(
                Fact::BootDone | Fact::BootFailed | Fact::MachineExited | Fact::StopFailed,
            ) => Stay,
        };
    };
    match input {
        Input::Command(Command::Create) => match state {
            Creating | Ready | Running | Paused | Stopping | Stopped | Failed => {
                Refuse { wanted: &[] }
            }
        },
        Input::Command(Command::Start) => match state {
            Ready => Become(Running),
            Stopped => Become(Creating),
            Creating | Running | Paused | Stopping | Failed => Refuse {
                wanted: &[Ready, Stopped],
            },
        },
        Input::Command(Command::Pause) => match state {
            Running => Become(Paused),
            Creating | Ready | Paused | Stopping | Stopped | Failed => {
                Refuse { wanted: &[Running] }
            }
        },
        Input::Command(Command::Resume) => match state {
            Paused => Become(Running),
            Creating | Ready | Running | Stopping | Stopped | Failed => {
                Refuse { wanted: &[Paused] }
            }
        },
        Input::Command(Command::Stop) => match state {
            Creating | Ready | Running | Paused | Stopping => Become(Stopping),
            Stopped | Failed => Stay,
        },
        Input::Command(Command::Delete) => match state {
            Stopped | Failed => Remove,
            Ready | Paused => StopFirst,
            Creating | Running | Stopping => Refuse {
                wanted: &[Ready, Paused, Stopped, Failed],
            },
        },
        Input::Fact(Fact::BootDone) => match state {
            Creating => Become(Ready),
            Ready | Running | Paused | Stopping | Stopped | Failed => Stay,
        },
        Input::Fact(Fact::BootFailed) => match state {
            Creating => Become(Failed),
            Ready | Running | Paused | Stopping | Stopped | Failed => Stay,
        },
        Input::Fact(Fact::MachineExited) => match state {
            Stopping => Become(Stopped),
            Creating | Ready | Running | Paused => Become(Failed),
            Stopped | Failed => Stay,
        },
        Input::Fact(Fact::StopFailed) => match state {
            Stopping => Become(Failed),
            Creating | Ready | Running | Paused | Stopped | Failed => Stay,
        },
    }
}

#[cfg(test)]
mod tests;
