//! One sandbox's directory under a lock.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use virtcontainers_types::SandboxId;

use super::lines::{self, FileLines};
use super::replace::replace;
use crate::lease::{Backing, io_error};
use crate::lock::Lock;
use crate::{BootId, Error, Ledger};

pub(super) const RECORD: &str = "record.json";
pub(super) const TEMPORARY: &str = "record.new";

#[derive(Debug)]
pub(super) struct Place {
    id: SandboxId,
    directory: PathBuf,
    boot: BootId,
    lock: Lock,
}

impl Place {
    pub(super) fn new(id: SandboxId, directory: PathBuf, boot: BootId, lock: Lock) -> Self {
        Self {
            id,
            directory,
            boot,
            lock,
        }
    }
}

impl Backing for Place {
    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read the record of", &self.id, &path)(error)),
        }
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut nothing = |_| Ok(());
        replace(&self.directory, RECORD, TEMPORARY, bytes, &mut nothing).map_err(io_error(
            "commit the record of",
            &self.id,
            &self.path(),
        ))
    }

    fn remove(self: Box<Self>) -> Result<(), Error> {
        // The record last: until then a repetition finds the sandbox. Nothing is removed that we
        // did not make, and the directory only when it is empty.
        for name in [lines::TEMPORARY, lines::NAME, TEMPORARY, RECORD] {
            let path = self.directory.join(name);
            remove_if_there(&path).map_err(io_error("remove", &self.id, &path))?;
        }
        match fs::remove_dir(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &self.id, &self.directory)(error));
            }
            Ok(()) | Err(_) => {}
        }
        self.lock
            .remove()
            .map_err(io_error("remove the lock of", &self.id, &self.directory))
    }

    fn abandon(self: Box<Self>) {
        let _next_claim_overwrites_it = remove_if_there(&self.directory.join(TEMPORARY));
        let kept = matches!(
            fs::remove_dir(&self.directory),
            Err(error) if error.kind() != io::ErrorKind::NotFound
        );
        if !kept && let Err(error) = self.lock.remove() {
            tracing::warn!(sandbox = %self.id, %error, "a lock file is left");
        }
    }

    fn ledger(&self) -> Ledger {
        let lines = FileLines::new(self.directory.clone());
        Ledger::new(self.id.clone(), self.boot.clone(), Arc::new(lines))
    }

    fn path(&self) -> PathBuf {
        self.directory.join(RECORD)
    }

    fn boot(&self) -> &BootId {
        &self.boot
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
