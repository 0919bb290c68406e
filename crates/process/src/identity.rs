//! Which process is meant, across the reuse of pids.

use std::fmt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use crate::procfs;
use crate::{Error, Watch};

/// A process of this boot of the host. A pid alone is reused; with the start time it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The process id in our pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)).
    pub start_time: u64,
}

impl Identity {
    /// The process that has this pid now; `None` when there is none, or only a zombie.
    ///
    /// Errors: `Denied`, `Internal` when `/proc` cannot be read.
    pub fn of(pid: u32) -> Result<Option<Self>, Error> {
        let stat = procfs::stat(pid)
            .map_err(|error| Error::system(format!("cannot read /proc/{pid}/stat"), error))?;
        Ok(stat.filter(|stat| !stat.is_ended()).map(|stat| Self {
            pid,
            start_time: stat.start_time,
        }))
    }

    /// Our own process.
    ///
    /// Errors: `Internal` when `/proc` cannot be read.
    pub fn current() -> Result<Self, Error> {
        let pid = std::process::id();
        Self::of(pid)?.ok_or_else(|| {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            Error::system("cannot find our own process in /proc", missing)
        })
    }

    /// Whether the process lives; one that has ended and was not reaped does not.
    pub fn is_alive(&self) -> bool {
        matches!(Self::of(self.pid), Ok(Some(now)) if now == *self)
    }

    /// Takes hold of the process; `None` when it has ended. The comparison comes after the open,
    /// so that the handle is on this process or on none.
    ///
    /// Errors: `Denied`, `Internal`.
    pub fn open(&self) -> Result<Option<Watch>, Error> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // ESRCH: no such process; EINVAL: the id is that of a thread, not of a process.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(Error::system(format!("cannot open {self}"), error)),
        };
        Ok(self.is_alive().then(|| Watch::new(*self, pidfd)))
    }

    /// Sends a signal to this process and to no other; `false` when it has ended already.
    ///
    /// Errors: `Denied`, `Internal`.
    pub fn signal(&self, signal: Signal) -> Result<bool, Error> {
        match self.open()? {
            Some(watch) => watch.signal(signal),
            None => Ok(false),
        }
    }

    /// Resolves when the process has ended. Safe to drop.
    ///
    /// Errors: `Timeout`, and those of [`open`](Self::open).
    pub async fn wait_gone(&self, deadline: Duration) -> Result<(), Error> {
        let Some(watch) = self.open()? else {
            return Ok(());
        };
        match tokio::time::timeout(deadline, watch.gone()).await {
            Ok(result) => result,
            Err(_elapsed) => Err(watch.still_alive(deadline)),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

/// Kills a process and blocks until it has ended. Succeeds when it has ended already.
///
/// Errors: `Timeout`, `Denied`, `Internal`.
pub fn kill_and_wait(identity: Identity, deadline: Duration) -> Result<(), Error> {
    let Some(watch) = identity.open()? else {
        return Ok(());
    };
    watch.signal(Signal::KILL)?;
    watch.gone_blocking(deadline)
}
