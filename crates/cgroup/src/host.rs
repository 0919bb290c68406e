//! What the host has: hierarchies of cgroups, and systemd.

use std::fs;
use std::path::{Path, PathBuf};

use crate::mountinfo::{Hierarchy, Kind, hierarchies};
use crate::{Error, ErrorKind};

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// The versions of cgroups that a host has mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Version 1 alone.
    V1,
    /// Version 2 beside version 1, which has most controllers.
    Hybrid,
    /// Version 2 alone.
    V2,
}

/// Where systemd is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Systemd {
    /// A directory that exists while systemd runs the host (sd_booted(3)).
    pub booted: PathBuf,
    /// The program that calls systemd, a part of it; a bare name is looked up in `PATH`.
    pub busctl: PathBuf,
}

impl Default for Systemd {
    /// `/run/systemd/system` and `busctl`.
    fn default() -> Self {
        Self {
            booted: "/run/systemd/system".into(),
            busctl: "busctl".into(),
        }
    }
}

/// The cgroups of a host, as they are mounted for this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    hierarchies: Vec<Hierarchy>,
    systemd: Systemd,
}

impl Host {
    /// Looks at the mounts of this process.
    ///
    /// Errors: `Unsupported` when no cgroups are mounted; `Internal` without `/proc`.
    pub fn detect() -> Result<Self, Error> {
        let text = fs::read_to_string(MOUNTINFO)
            .map_err(|source| Error::system("read", Path::new(MOUNTINFO), source))?;
        Self::from_mountinfo(&text)
    }

    /// The same from the text of a mountinfo file (proc(5)).
    ///
    /// Errors: `Unsupported` when no cgroups are mounted.
    pub fn from_mountinfo(text: &str) -> Result<Self, Error> {
        let hierarchies = hierarchies(text);
        if hierarchies.is_empty() {
            let message = "no cgroups are mounted on this host; mount them at /sys/fs/cgroup, or \
                           start the container without cgroupsPath";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(Self {
            hierarchies,
            systemd: Systemd::default(),
        })
    }

    /// The same with systemd elsewhere.
    pub fn with_systemd(self, systemd: Systemd) -> Self {
        Self { systemd, ..self }
    }

    /// The versions that are mounted.
    pub fn mode(&self) -> Mode {
        let is_v2 = |hierarchy: &&Hierarchy| hierarchy.kind == Kind::V2;
        match self.hierarchies.iter().filter(is_v2).count() {
            0 => Mode::V1,
            count if count == self.hierarchies.len() => Mode::V2,
            _ => Mode::Hybrid,
        }
    }

    pub(crate) fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    pub(crate) fn systemd(&self) -> &Systemd {
        &self.systemd
    }

    /// The hierarchy in which systemd keeps track of its units.
    pub(crate) fn systemds_own(&self) -> Option<&Hierarchy> {
        let named = self.hierarchies.iter().find(|one| one.has("name=systemd"));
        named.or_else(|| self.hierarchies.iter().find(|one| one.kind == Kind::V2))
    }
}
