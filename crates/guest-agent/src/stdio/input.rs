//! The writing end of a process's standard input.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::unix::AsyncFd;

use crate::descriptor::asynchronous;
use crate::status::{Doing as _, Failure, Result};

/// A pipe into a process. Writers take turns; closing lets a write under way finish.
#[derive(Debug)]
pub(crate) struct Input {
    pipe: Mutex<Option<Arc<Writer>>>,
}

impl Input {
    pub(super) fn new(pipe: OwnedFd) -> Result<Self> {
        Ok(Self {
            pipe: Mutex::new(Some(Arc::new(Writer::new(pipe)?))),
        })
    }

    /// Writes everything, waiting while the pipe is full. Dropping the future may leave part of
    /// `data` written.
    ///
    /// # Errors
    /// FAILED_PRECONDITION when closed; INTERNAL when the process no longer reads.
    pub(crate) async fn write(&self, data: &[u8]) -> Result<()> {
        let writer = self
            .pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| Failure::wrong_state("standard input is closed"))?;
        writer.write(data).await
    }

    /// Closes the pipe, at once or after the writes under way. Closing twice is no error.
    pub(crate) fn close(&self) {
        self.pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// An asynchronous descriptor that is written to by one caller at a time.
#[derive(Debug)]
pub(super) struct Writer {
    fd: AsyncFd<OwnedFd>,
    turn: tokio::sync::Mutex<()>,
}

impl Writer {
    pub(super) fn new(fd: OwnedFd) -> Result<Self> {
        Ok(Self {
            fd: asynchronous(fd)?,
            turn: tokio::sync::Mutex::new(()),
        })
    }

    pub(super) async fn write(&self, mut data: &[u8]) -> Result<()> {
        let _turn = self.turn.lock().await;
        while !data.is_empty() {
            let mut ready = self
                .fd
                .writable()
                .await
                .doing(|| "wait for a pipe".to_owned())?;
            let attempt = ready.try_io(|fd| rustix::io::write(fd, data).map_err(io::Error::from));
            match attempt {
                Ok(Ok(count)) => data = data.get(count..).unwrap_or_default(),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => {
                    return Err(Failure::internal(format!("write standard input: {error}")));
                }
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    pub(super) fn fd(&self) -> &AsyncFd<OwnedFd> {
        &self.fd
    }
}
