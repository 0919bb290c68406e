//! A container's cgroup: opened, made, joined.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::Pid;
use virtcontainers_types::{CgroupPath, ContainerId, UndoSink};

use crate::error::errno;
use crate::scope::Scope;
use crate::tree::{self, Place};
use crate::{Error, ErrorKind, Host};

/// The cgroup of a container on the host, in every hierarchy. It has no state of its own: any
/// process may open it. All methods block: for a few system calls, or for systemd's answer.
///
/// It is removed through its entries in the ledger, by [`undo`](crate::undo): only they know what
/// was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Where it is. Of a scope, the first is where systemd keeps track of it.
    places: Vec<Place>,
    scope: Option<Scope>,
}

impl Cgroup {
    /// The cgroup at a path, whether it exists or not.
    ///
    /// Errors: `Unsupported` when it is systemd's and systemd does not run.
    pub fn open(host: &Host, path: &CgroupPath) -> Result<Self, Error> {
        let places = |path: &Path| -> Vec<Place> {
            let hierarchies = host.hierarchies().iter();
            hierarchies.map(|one| Place::new(one, path)).collect()
        };
        let slice = match path {
            CgroupPath::Fs { path, .. } => {
                return Ok(Self {
                    places: places(path),
                    scope: None,
                });
            }
            CgroupPath::Systemd { slice, .. } => slice,
        };
        let own = host
            .systemds_own()
            .filter(|_| host.systemd().booted.is_dir());
        let (Some(own), Some(unit)) = (own, path.unit()) else {
            let message = "systemd does not run on this host, so it cannot manage cgroups: start \
                           without --systemd-cgroup (Podman: --cgroup-manager cgroupfs)";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let scope = Scope {
            unit,
            slice: slice.clone(),
            busctl: host.systemd().busctl.clone(),
        };
        let path = scope.path();
        let own = Place::new(own, &path);
        let mut places = places(&path);
        places.retain(|place| *place != own);
        places.insert(0, own);
        Ok(Self {
            places,
            scope: Some(scope),
        })
    }

    /// Makes it, with what is missing above it, and puts a first process in it: systemd knows no
    /// cgroup without one. A path may exist already and is joined then; a scope may not. Entered
    /// in `undo` before it happens; that remains to be undone after an error too.
    ///
    /// Errors: `Invalid` for no pid; `AlreadyExists` for a scope; `Gone` when the process has ended;
    /// `Busy` when the cgroup cannot hold processes; `Unsupported` without systemd's program;
    /// `Timeout` when systemd does not do it; `Denied`, `Internal`.
    pub fn create(
        &self,
        container: &ContainerId,
        pid: u32,
        undo: &dyn UndoSink,
    ) -> Result<(), Error> {
        let process = valid(pid)?;
        match (&self.scope, self.places.first()) {
            (Some(scope), Some(own)) => {
                scope.start(own, &self.places, container, process, undo)?;
                // Of v1, systemd leaves out hierarchies that it does not use.
                let exists = |place: &&Place| place.directory().exists();
                let missing = self.places.iter().filter(|place| !exists(place));
                tree::make(&missing.cloned().collect::<Vec<_>>(), container, undo)?;
            }
            _ => tree::make(&self.places, container, undo)?,
        }
        self.add(pid)
    }

    /// Puts one more process in it, with all its threads; its children follow when they start. Again
    /// is no difference.
    ///
    /// Errors: `Invalid` for no pid; `NotFound` when the cgroup does not exist; `Gone` when the
    /// process has ended; `Busy` when the cgroup cannot hold processes; `Denied`, `Internal`. It may
    /// then be in some hierarchies and not in others.
    pub fn add(&self, pid: u32) -> Result<(), Error> {
        valid(pid)?;
        for (index, directory) in self.directories().enumerate() {
            // systemd may remove what a scope has beside its own hierarchy.
            if self.scope.is_some() && index > 0 && !directory.exists() {
                continue;
            }
            tree::put(&directory, pid).map_err(|source| {
                let place = directory.display();
                let (kind, message) = match errno(&source) {
                    Some(Errno::NOENT | Errno::NODEV) => (
                        ErrorKind::NotFound,
                        format!(
                            "there is no cgroup {place} to put process {pid} in: create it first"
                        ),
                    ),
                    Some(Errno::SRCH) => (
                        ErrorKind::Gone,
                        format!("process {pid} has ended and cannot be put in the cgroup {place}"),
                    ),
                    Some(Errno::BUSY | Errno::OPNOTSUPP) => (
                        ErrorKind::Busy,
                        format!(
                            "the cgroup {place} has cgroups below it and takes no process: choose \
                             another cgroupsPath"
                        ),
                    ),
                    _ => {
                        return Error::system(&format!("put process {pid} in"), &directory, source);
                    }
                };
                Error::new(kind, message).with_source(source)
            })?;
        }
        Ok(())
    }

    /// Its directories, one in each hierarchy.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.places.iter().map(Place::directory)
    }
}

fn valid(pid: u32) -> Result<Pid, Error> {
    // A zero would mean whoever writes it.
    let found = i32::try_from(pid).ok().and_then(Pid::from_raw);
    found.ok_or_else(|| Error::new(ErrorKind::Invalid, format!("{pid} is not a process's id")))
}
