//! Scopes of systemd: started around a process, and stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use virtcontainers_types::{ContainerId, UndoSink};

use crate::event::{Events, Woken};
use crate::tree::{Place, processes};
use crate::undo::{Undo, record};
use crate::vacate::{move_up, remove};
use crate::{Error, ErrorKind, bus};

/// How long systemd has to answer and to do what it was asked: more than a bus waits by itself.
const START: Duration = Duration::from_secs(30);
const SLICE: &str = ".slice";

/// A scope, and who manages it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) unit: String,
    pub(crate) slice: String,
    pub(crate) busctl: PathBuf,
}

impl Scope {
    /// Its cgroup, as systemd places it: dashes in a slice's name lead down the tree
    /// (systemd.slice(5)).
    pub(crate) fn path(&self) -> PathBuf {
        let stem = self.slice.strip_suffix(SLICE).unwrap_or(&self.slice);
        let mut path = PathBuf::from("/");
        if stem != "-" {
            let ends = stem.match_indices('-').map(|(at, _)| at);
            for end in ends.chain([stem.len()]) {
                path.push(format!("{}{SLICE}", &stem[..end]));
            }
        }
        path.join(&self.unit)
    }

    /// Starts it around a process, and returns when the process is in it. `places` are its cgroups,
    /// of which `own` is the one where systemd keeps track of it.
    pub(crate) fn start(
        &self,
        own: &Place,
        places: &[Place],
        container: &ContainerId,
        pid: Pid,
        undo: &dyn UndoSink,
    ) -> Result<(), Error> {
        let directory = own.directory();
        if directory.exists() {
            let message = format!(
                "systemd has a unit {} already; stop it, or choose another cgroupsPath",
                self.unit
            );
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let effect = Undo::Scope {
            container: container.clone(),
            unit: self.unit.clone(),
            busctl: self.busctl.clone(),
            directories: places.iter().map(Place::directory).collect(),
        };
        record(undo, &directory, &effect)?;
        let deadline = Instant::now() + START;
        let about = format!("virtual machine container {container}");
        let number = pid.as_raw_nonzero().get().unsigned_abs();
        let words = bus::start_scope(&self.unit, &self.slice, &about, number);
        bus::call(&self.busctl, &words, deadline)?;
        self.joined(own, pid, deadline)
    }

    /// The reply to the call only says that systemd is going to do it.
    fn joined(&self, own: &Place, pid: Pid, deadline: Instant) -> Result<(), Error> {
        let failed = |source| {
            let message = format!("cannot see systemd start {}", self.unit);
            Error::new(ErrorKind::Internal, message).with_source(source)
        };
        let mut events = Events::new().map_err(failed)?;
        let lives = events.watch_task(pid).map_err(failed)?;
        let number = pid.as_raw_nonzero().get().unsigned_abs();
        let mut woken = if lives { Woken::Changed } else { Woken::Ended };
        loop {
            // Each directory is watched from when it appears, and looked at only then.
            for path in own.chain() {
                events.watch(&path).map_err(failed)?;
            }
            if processes(&own.directory())
                .map_err(failed)?
                .contains(&number)
            {
                return Ok(());
            }
            let (kind, what) = match woken {
                Woken::Changed => {
                    woken = events.wait(deadline).map_err(failed)?;
                    continue;
                }
                Woken::Ended => (ErrorKind::Gone, "has ended before it was"),
                Woken::Late => (
                    ErrorKind::Timeout,
                    "is still not; `journalctl -b _PID=1` says why",
                ),
            };
            let unit = &self.unit;
            let message = format!("process {number} is to be in {unit} but {what}");
            return Err(Error::new(kind, message));
        }
    }
}

/// Stops a scope; processes in it move up first, so that they live on. One that does not exist is
/// stopped. Where systemd does not do it, its cgroups are removed all the same.
pub(crate) fn stop(
    unit: &str,
    busctl: &Path,
    directories: &[PathBuf],
    deadline: Instant,
) -> Result<(), Error> {
    let exists = |path: &&PathBuf| path.exists();
    let Some(own) = directories.first() else {
        return Ok(());
    };
    if directories.iter().find(exists).is_none() {
        return Ok(());
    }
    for directory in directories {
        move_up(directory, &[])
            .map_err(|source| Error::system("empty the cgroup", directory, source))?;
    }
    // Systemd may have stopped it by now because it is empty: then the call fails, and all is well.
    let stopped = bus::call(busctl, &bus::stop_unit(unit), deadline);
    if stopped.is_ok() {
        vanished(own, deadline)
            .map_err(|source| Error::system("see systemd remove", own, source))?;
    }
    let mut outcome = Ok(());
    for directory in directories.iter().filter(exists) {
        outcome = outcome.and(remove(directory, &[], deadline));
    }
    match (outcome, stopped) {
        (Err(error), Err(cause)) => {
            Err(Error::new(error.kind(), error.to_string()).with_source(cause))
        }
        (outcome, _) => outcome,
    }
}

/// Waits for a directory to go, or the deadline.
fn vanished(directory: &Path, deadline: Instant) -> io::Result<()> {
    let mut events = Events::new()?;
    if let Some(parent) = directory.parent() {
        events.watch(parent)?;
    }
    let mut woken = Woken::Changed;
    while events.watch(directory)? && woken != Woken::Late {
        woken = events.wait(deadline)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_lead_down_the_tree() {
        for (slice, path) in [
            ("-.slice", "/vc-web.scope"),
            ("machine.slice", "/machine.slice/vc-web.scope"),
            (
                "user-1000-a.slice",
                "/user.slice/user-1000.slice/user-1000-a.slice/vc-web.scope",
            ),
        ] {
            let scope = Scope {
                unit: "vc-web.scope".to_owned(),
                slice: slice.to_owned(),
                busctl: "busctl".into(),
            };
            assert_eq!(scope.path(), Path::new(path));
        }
    }
}
