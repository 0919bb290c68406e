//! The ledger as a file. Appenders hold it shared, who shortens it holds it exclusively and puts a
//! new file in its place: an appender that waited meanwhile notices that and opens the new one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::LeaseMode;
use crate::ledger::Lines;
use crate::lock::{Lock, LockError};

/// The lock is held for a few system calls only; who has it for longer was stopped by a signal.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) const NAME: &str = "ledger";
pub(super) const TEMPORARY: &str = "ledger.new";

#[derive(Debug)]
pub(super) struct FileLines {
    directory: PathBuf,
    path: PathBuf,
}

impl FileLines {
    pub(super) fn new(directory: PathBuf) -> Self {
        let path = directory.join(NAME);
        Self { directory, path }
    }

    fn lock(&self, mode: LeaseMode) -> io::Result<Lock> {
        Lock::acquire_to_append(&self.path, mode, DEADLINE).map_err(|error| match error {
            LockError::Io(error) => error,
            LockError::Held(_) => io::Error::new(
                io::ErrorKind::TimedOut,
                "another process holds the ledger; is it stopped?",
            ),
        })
    }
}

impl Lines for FileLines {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let lock = self.lock(LeaseMode::Shared)?;
        match lock.file().write(bytes)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the entry was written in part only",
            )),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result,
        }
    }

    fn rewrite(&self, edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> io::Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let lock = self.lock(LeaseMode::Exclusive)?;
        let kept = edit(&fs::read(&self.path)?);
        if kept.is_empty() {
            return lock.remove();
        }
        // Not synced, as the entries are not: a reboot voids them.
        let temporary = self.directory.join(TEMPORARY);
        fs::write(&temporary, kept)?;
        fs::rename(&temporary, &self.path)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
