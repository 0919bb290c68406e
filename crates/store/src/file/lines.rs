//! The ledger as a file. Appenders hold it shared, who shortens it holds it exclusively and puts a
//! new file in its place: an appender that waited meanwhile notices that and opens the new one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::CWD;

use super::disk::{Disk, if_there};
use super::read;
use crate::LeaseMode;
use crate::ledger::Lines;
use crate::lock::{Lock, LockError};

/// The lock is held for a few system calls only; who has it for longer was stopped by a signal.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) const NAME: &str = "ledger";
pub(super) const TEMPORARY: &str = "ledger.new";

#[derive(Debug)]
pub(super) struct FileLines {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl FileLines {
    pub(super) fn new(directory: &Path, disk: Arc<dyn Disk>) -> Self {
        let path = directory.join(NAME);
        Self { path, disk }
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
        Ok(if_there(read::whole(CWD, &self.path))?.unwrap_or_default())
    }

    fn rewrite(&self, edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> io::Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let _lock = self.lock(LeaseMode::Exclusive)?;
        let kept = edit(&read::whole(CWD, &self.path)?);
        if kept.is_empty() {
            return self.disk.remove_if_there(CWD, &self.path);
        }
        // Not synced, as the entries are not: a reboot voids them.
        let temporary = self.path.with_file_name(TEMPORARY);
        let file = self.disk.create(CWD, &temporary)?;
        self.disk.write(&file, &kept)?;
        self.disk.rename(CWD, &temporary, &self.path)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
