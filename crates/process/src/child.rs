//! A child of ours: watched by pidfd, reaped once, its end told to all who ask.

use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::{Error, Exit, Identity, Watch};

/// How long a drop waits for a killed child: the kernel needs this only to free its memory.
const REAP_ON_DROP: Duration = Duration::from_secs(2);

/// A child of this process.
///
/// Dropping it leaves the child running, and nobody will reap it then before our own process
/// ends; with [`kill_on_drop`](crate::Launcher::kill_on_drop) the child is killed and reaped.
#[derive(Debug)]
pub struct Child {
    watch: Watch,
    exit: Mutex<Option<Exit>>,
    kill_on_drop: bool,
}

impl Child {
    pub(crate) const fn new(watch: Watch, kill_on_drop: bool) -> Self {
        Self {
            watch,
            exit: Mutex::new(None),
            kill_on_drop,
        }
    }

    /// Which process this is.
    pub const fn identity(&self) -> Identity {
        self.watch.identity()
    }

    /// Resolves when the child has ended, and reaps it. Safe to drop; many may wait, and all get
    /// the same answer, however late they ask. Needs a tokio runtime with IO.
    ///
    /// Errors: `Internal` when the runtime cannot watch one more descriptor.
    pub async fn wait(&self) -> Result<Exit, Error> {
        loop {
            if let Some(exit) = self.try_wait() {
                return Ok(exit);
            }
            self.watch.gone().await?;
        }
    }

    /// How the child ended, if it has; reaps it.
    pub fn try_wait(&self) -> Option<Exit> {
        let mut known = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = self.reap();
        }
        *known
    }

    /// Blocks until the child has ended, and reaps it.
    ///
    /// Errors: `Timeout`.
    pub fn wait_blocking(&self, deadline: Duration) -> Result<Exit, Error> {
        if let Some(exit) = self.try_wait() {
            return Ok(exit);
        }
        self.watch.gone_blocking(deadline)?;
        Ok(self.try_wait().unwrap_or(Exit::Unknown))
    }

    /// Sends a signal; `false` when the child has ended already.
    ///
    /// Errors: `Denied`.
    pub fn signal(&self, signal: Signal) -> Result<bool, Error> {
        self.watch.signal(signal)
    }

    /// Kills the child without waiting for its end. Succeeds when it has ended already.
    ///
    /// Errors: `Denied`.
    pub fn kill(&self) -> Result<(), Error> {
        self.signal(Signal::KILL).map(drop)
    }

    /// Lets the child live on when this is dropped, whatever was asked for at its start.
    pub fn keep_on_drop(&mut self) {
        self.kill_on_drop = false;
    }

    fn reap(&self) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(self.watch.as_fd()), options) {
            Ok(status) => status.map(|status| {
                let signal = status.terminating_signal().map(Exit::Signal);
                let code = status.exit_status().map(Exit::Status);
                signal.or(code).unwrap_or(Exit::Unknown)
            }),
            // ECHILD: someone else reaped it, or SIGCHLD is ignored in this process.
            Err(_) => self.watch.is_gone().then_some(Exit::Unknown),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.kill_on_drop || self.try_wait().is_some() {
            return;
        }
        let ended = self
            .kill()
            .and_then(|()| self.wait_blocking(REAP_ON_DROP).map(drop));
        if let Err(error) = ended {
            tracing::warn!(process = %self.identity(), %error, "a killed child did not end");
        }
    }
}
