//! A process on its way from its clone to its program, as the agent follows it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::container::error::{EngineError, Result, Step as _};
use crate::container::sys;
use crate::container::wire::{self, Go, Reply};

/// How long set-up may take, hooks included.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that is not its program yet. Dropped before it is, it is killed.
#[derive(Debug)]
pub(super) struct Nascent {
    socket: AsyncFd<OwnedFd>,
    pidfd: Option<OwnedFd>,
    /// Whether it has said that only `execve` is left. An exec may say so before the spawner
    /// gets to tell that it exists.
    running: bool,
}

impl Drop for Nascent {
    fn drop(&mut self) {
        if let Some(pidfd) = self.pidfd.take() {
            // That it has ended by itself is as good.
            pidfd_send_signal(&pidfd, Signal::KILL).ok();
        }
    }
}

impl Nascent {
    /// Follows a process that the spawner was asked for.
    pub(super) fn new(socket: OwnedFd) -> Result<Self> {
        let what = || "follow a new process".to_owned();
        rustix::io::ioctl_fionbio(&socket, true).step(what)?;
        let socket = sys::watch(socket, Interest::READABLE).step(what)?;
        Ok(Self {
            socket,
            pidfd: None,
            running: false,
        })
    }

    /// Waits until it is set up; gives its number, its pidfd, and the agent's end of its terminal.
    ///
    /// # Errors
    /// That of its set-up; internal when it ended without a word or takes too long.
    pub(super) async fn ready(&mut self) -> Result<(i32, OwnedFd, Option<OwnedFd>)> {
        patiently(async {
            let mut number = None;
            let mut set_up = None;
            loop {
                if let (Some(pid), Some(pidfd)) = (number, &self.pidfd)
                    && let Some(terminal) = set_up.take()
                {
                    let pidfd = pidfd.try_clone().step(|| "copy a pidfd".to_owned())?;
                    return Ok((pid, pidfd, terminal));
                }
                match self.next().await? {
                    Some((Reply::Cloned { pid }, mut fds)) => {
                        number = Some(pid);
                        self.pidfd = fds.pop();
                    }
                    Some((Reply::Ready, mut fds)) => set_up = Some(fds.pop()),
                    Some((Reply::Failed(error), _)) => return Err(error),
                    Some((Reply::Running, _)) => self.running = true,
                    None => return Err(surprise("ended during its set-up")),
                }
            }
        })
        .await
    }

    /// Orders an init to run its program, and waits until it does.
    ///
    /// # Errors
    /// Wrong state when the init has ended, else as for [`Self::running`].
    pub(super) async fn go(self) -> Result<()> {
        match wire::send(self.socket.get_ref(), &Go::Now, &[]) {
            Err(Errno::PIPE | Errno::CONNRESET) => {
                return Err(EngineError::wrong_state("the container's init has ended"));
            }
            sent => sent.step(|| "order the init to go".to_owned())?,
        }
        self.running().await
    }

    /// Waits until the program runs, or could not be executed.
    ///
    /// # Errors
    /// That of the last steps of its set-up; internal when it ended without a word.
    pub(super) async fn running(mut self) -> Result<()> {
        patiently(async {
            loop {
                match self.next().await? {
                    Some((Reply::Running, _)) => self.running = true,
                    // The socket closes with the exec.
                    None if self.running => {
                        self.pidfd = None;
                        return Ok(());
                    }
                    None => return Err(surprise("ended before its program ran")),
                    Some((Reply::Failed(error), _)) => return Err(error),
                    Some(_) => return Err(surprise("says the same thing twice")),
                }
            }
        })
        .await
    }

    async fn next(&self) -> Result<Option<(Reply, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self
                .socket
                .readable()
                .await
                .step(|| "wait for a new process".to_owned())?;
            match wire::receive(self.socket.get_ref()) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::CONNRESET) => return Ok(None),
                other => return other.step(|| "hear a new process".to_owned()),
            }
        }
    }
}

fn surprise(what: &str) -> EngineError {
    EngineError::internal(format!("the new process {what}"))
}

async fn patiently<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| Err(surprise(&format!("is not done after {PATIENCE:?}"))))
}
