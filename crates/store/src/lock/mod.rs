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
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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
        options.read(true).write(true).truncate(false);
        let lock = Self::acquire_with(&mut options, path, mode, deadline)?;
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
        options.read(true).append(true);
        Self::acquire_with(&mut options, path, mode, deadline)
    }

    fn acquire_with(
        options: &mut OpenOptions,
        path: &Path,
        mode: LeaseMode,
        deadline: Duration,
    ) -> Result<Self, LockError> {
        options.create(true).mode(0o600);
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

    fn is_current(&self) -> io::Result<bool> {
        let held = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The locked file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Removes the file of an exclusive lock and releases it.
    pub(crate) fn remove(self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Releases a lock of any mode, and removes its file if nobody else holds it.
    pub(crate) fn discard(self) -> io::Result<()> {
        // Changing the mode is not atomic (flock(2)): the file may be another one afterwards.
        if self.file.try_lock().is_ok() && self.is_current()? {
            return self.remove();
        }
        Ok(())
    }
}

fn try_lock(file: &File, mode: LeaseMode) -> Result<(), TryLockError> {
    match mode {
        LeaseMode::Shared => file.try_lock_shared(),
        LeaseMode::Exclusive => file.try_lock(),
    }
}
