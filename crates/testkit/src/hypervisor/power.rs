//! What a fake machine is doing, and the order in which that may change.

use std::fmt;
use std::str::FromStr;

use virtcontainers_hypervisor::{Error, ErrorKind};

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Launched, its CPUs held.
    Held,
    /// Its CPUs run.
    Running,
    /// Its CPUs are halted.
    Paused,
    /// It has ended.
    Ended,
}

impl Power {
    const ALL: [Self; 4] = [Self::Held, Self::Running, Self::Paused, Self::Ended];

    /// The word for it, lowercase.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }

    /// The refusal of what only a machine in the state `wanted` can do.
    pub(super) fn refuse(self, wanted: Self) -> Error {
        match self {
            Self::Ended => gone(),
            found => {
                let message = format!("the machine is {found}, not {wanted}");
                Error::new(ErrorKind::WrongState, message)
            }
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Power {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|power| power.as_str() == word);
        found.ok_or_else(|| format!("{word:?} is nothing that a machine can be doing"))
    }
}

/// The machine does not live any more.
pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Gone, "the machine has ended")
}

/// The backend lacks the ability.
pub(super) fn lacks(what: &str) -> Error {
    let message = format!("this fake was made without the ability to {what}");
    Error::new(ErrorKind::Unsupported, message)
}
