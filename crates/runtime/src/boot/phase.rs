//! The phases of a start, as people see them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A phase of bringing up a sandbox, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The supervisor starts.
    Supervisor,
    /// Network namespace, shared directories and their daemon; hooks, and the interfaces that they
    /// may have made.
    Share,
    /// The virtual machine monitor and its helpers start.
    Launch,
    /// The guest's kernel boots and its agent comes up.
    Guest,
    /// The agent sets up the sandbox.
    Sandbox,
    /// The agent creates the containers.
    Containers,
    /// The containers start.
    Start,
}

impl Phase {
    /// The phase's stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Share => "share",
            Self::Launch => "launch",
            Self::Guest => "guest",
            Self::Sandbox => "sandbox",
            Self::Containers => "containers",
            Self::Start => "start",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
