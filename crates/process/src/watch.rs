//! A process held by a pidfd: as long as this lives, its pid cannot mean another process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::{Error, ErrorKind, Identity, sys};

/// A handle on a process, our child or not. Dropping it does nothing to the process.
#[derive(Debug)]
pub struct Watch {
    identity: Identity,
    pidfd: OwnedFd,
}

impl Watch {
    pub(crate) const fn new(identity: Identity, pidfd: OwnedFd) -> Self {
        Self { identity, pidfd }
    }

    /// Which process this is.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Sends a signal; `false` when the process has ended already.
    ///
    /// Errors: `Denied`.
    pub fn signal(&self, signal: Signal) -> Result<bool, Error> {
        match rustix::process::pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => {
                let number = signal.as_raw();
                let message = format!("cannot send signal {number} to {}", self.identity);
                Err(Error::system(message, error))
            }
        }
    }

    /// Whether the process has ended; a zombie has.
    pub fn is_gone(&self) -> bool {
        self.poll(Duration::ZERO)
    }

    /// Resolves when the process has ended. Safe to drop; many may wait. Needs a tokio runtime
    /// with IO.
    ///
    /// Errors: `Internal` when the runtime cannot watch one more descriptor.
    pub async fn gone(&self) -> Result<(), Error> {
        let failed = |error| Error::system(format!("cannot watch {}", self.identity), error);
        // A duplicate, because a runtime watches one descriptor number only once.
        let pidfd = self.pidfd.try_clone().map_err(failed)?;
        let watched = sys::watch_readable(pidfd).map_err(failed)?;
        let _ready = watched.readable().await.map_err(failed)?;
        Ok(())
    }

    /// Blocks until the process has ended.
    ///
    /// Errors: `Timeout`.
    pub fn gone_blocking(&self, deadline: Duration) -> Result<(), Error> {
        if self.poll(deadline) {
            return Ok(());
        }
        Err(self.still_alive(deadline))
    }

    pub(crate) fn still_alive(&self, deadline: Duration) -> Error {
        let message = format!(
            "{} has not ended within {} ms",
            self.identity,
            deadline.as_millis()
        );
        Error::new(ErrorKind::Timeout, message)
    }

    /// A pidfd is readable when its process has ended (pidfd_open(2)).
    fn poll(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut watched = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match rustix::event::poll(&mut watched, timeout.as_ref()) {
                Ok(ready) => return ready > 0,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
