//! One promise of a port.

use std::fmt;

/// One promise of a port, and how it is checked.
#[derive(Debug, Clone, Copy)]
pub struct Promise<C> {
    /// What it is called: words joined by hyphens, unique in its suite.
    pub name: &'static str,
    /// The promise itself.
    pub sentence: &'static str,
    /// What the implementation must have, or lack, for it to mean something.
    pub needs: &'static [Need],
    /// Tries it.
    pub check: C,
}

/// What an implementation may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Machines can be paused.
    Pause,
    /// Machines can be adopted.
    Adopt,
    /// Directories can be shared.
    FilesystemSharing,
    /// Network devices come and go while the machine runs.
    NetworkHotplug,
    /// Machines consist of processes.
    Processes,
    /// The launcher of a machine is told what happens to it.
    Events,
    /// We may make network namespaces: this needs privileges.
    NetworkNamespaces,
    /// A guest's programs are run, so that one that is not there is missed, and one can read.
    Programs,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Adopt => "adopt",
            Self::FilesystemSharing => "file system sharing",
            Self::NetworkHotplug => "network hot-plug",
            Self::Processes => "processes",
            Self::Events => "events",
            Self::NetworkNamespaces => "the privilege to make network namespaces",
            Self::Programs => "programs",
        })
    }
}

/// A condition on an implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It has the ability.
    Has(Ability),
    /// It has not: then it must refuse.
    Lacks(Ability),
}

impl Need {
    /// Why a promise with this need says nothing of an implementation; `None` when it does.
    pub(super) fn unmet(self, can: impl Fn(Ability) -> bool) -> Option<String> {
        match self {
            Self::Has(ability) if !can(ability) => Some(format!("lacks {ability}")),
            Self::Lacks(ability) if can(ability) => Some(format!("has {ability}")),
            Self::Has(_) | Self::Lacks(_) => None,
        }
    }
}
