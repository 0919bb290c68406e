//! Locks between processes and between tasks of one process: `flock(2)` on an open file
//! description per holder, so that death releases and two tasks exclude each other like two
//! processes.
//!
//! A lock file may be removed or replaced by whoever holds it exclusively. Therefore who gets a
//! lock looks whether the path still names the locked file, and starts over if it does not.

mod holder;
mod wait;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::LeaseMode;
pub use holder::Holder;
pub(crate) use holder::PROGRAM;

/// A lock that is held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

/// Why a lock was not had.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody had it for the whole time.
    Held(Option<Holder>),
    /// The file system refused.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Lock {
    /// Locks the file at `path`, which is made when it does not exist, and writes into it what for.
    pub(crate) fn acquire(
        path: &Path,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .truncate(false)
            .create(true)
            .mode(0o600);
        let lock = Self::acquire_with(&options, path, mode, deadline)?;
        holder::announce(&lock.file, mode, operation)?;
        Ok(lock)
    }

    /// As [`acquire`](Self::acquire), of a file that has to exist.
    pub(crate) fn acquire_existing(
        path: &Path,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let lock = Self::acquire_with(&options, path, mode, deadline)?;
        holder::announce(&lock.file, mode, operation)?;
        Ok(lock)
    }

    /// As [`acquire`](Self::acquire), on a file to whose content the holders append.
    pub(crate) fn acquire_to_append(
        path: &Path,
        mode: LeaseMode,
        deadline: Duration,
    ) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        Self::acquire_with(&options, path, mode, deadline)
    }

    fn acquire_with(
        options: &OpenOptions,
        path: &Path,
        mode: LeaseMode,
        deadline: Duration,
    ) -> Result<Self, LockError> {
        let started = Instant::now();
        loop {
            let file = options.open(path)?;
            let file = match try_lock(&file, mode) {
                Ok(()) => file,
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) => {
                    let left = deadline.saturating_sub(started.elapsed());
                    match wait::lock_within(file, path, mode, left)? {
                        Some(file) => file,
                        None => return Err(LockError::Held(holder::find(path))),
                    }
                }
            };
            let lock = Self {
                file,
                path: path.to_owned(),
            };
            if lock.is_current()? {
                return Ok(lock);
            }
        }
    }

    /// Whether the file still has its name: it has no other, and goes only by losing it.
    fn is_current(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstat(&self.file)?.st_nlink > 0)
    }

    /// The locked file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody else holds the lock; if so, it is exclusive from now on and its file may be
    /// removed.
    pub(crate) fn is_sole(&self) -> io::Result<bool> {
        // Changing the mode is not atomic (flock(2)): the file may be another one afterwards.
        Ok(self.file.try_lock().is_ok() && self.is_current()?)
    }
}

fn try_lock(file: &File, mode: LeaseMode) -> Result<(), TryLockError> {
    match mode {
        LeaseMode::Shared => file.try_lock_shared(),
        LeaseMode::Exclusive => file.try_lock(),
    }
}
