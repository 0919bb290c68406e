//! One sandbox's directory under a lock.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::CWD;
use virtcontainers_types::SandboxId;

use super::disk::{Disk, if_there};
use super::lines::{self, FileLines};
use super::read;
use crate::lease::{Backing, io_error};
use crate::lock::Lock;
use crate::{BootId, Error, Ledger};

pub(super) const RECORD: &str = "record.json";
pub(super) const TEMPORARY: &str = "record.new";

#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: SandboxId,
    pub(super) path: PathBuf,
    /// The directory at `path`.
    pub(super) directory: OwnedFd,
    pub(super) boot: BootId,
    pub(super) lock: Lock,
    pub(super) disk: Arc<dyn Disk>,
}

impl Place {
    /// Removes the directory if it holds nothing but what we made. The temporary files, which are
    /// nearly never there, are looked for only when it is not empty.
    fn remove_directory(&self) -> io::Result<()> {
        match if_there(self.disk.remove_directory(&self.path)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                for name in [lines::TEMPORARY, TEMPORARY] {
                    let at = self.directory.as_fd();
                    self.disk.remove_if_there(at, Path::new(name))?;
                }
                if_there(self.disk.remove_directory(&self.path))?;
                Ok(())
            }
            result => result.map(|_was_there| ()),
        }
    }

    fn remove_lock(&self) -> io::Result<()> {
        self.disk.remove_if_there(CWD, self.lock.path())
    }
}

impl Backing for Place {
    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        if_there(read::whole(self.directory.as_fd(), Path::new(RECORD))).map_err(io_error(
            "read the record of",
            &self.id,
            &self.path(),
        ))
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let [record, temporary] = [RECORD, TEMPORARY].map(Path::new);
        self.disk
            .replace(self.directory.as_fd(), record, temporary, bytes)
            .map_err(io_error("commit the record of", &self.id, &self.path()))
    }

    fn remove(self: Box<Self>) -> Result<(), Error> {
        // The ledger before the record: until the record is gone a repetition finds the sandbox
        // with all that is known of it. Nothing is removed that we did not make.
        for name in [lines::NAME, RECORD] {
            let path = self.path.join(name);
            self.disk
                .remove_if_there(self.directory.as_fd(), Path::new(name))
                .map_err(io_error("remove", &self.id, &path))?;
        }
        self.remove_directory()
            .map_err(io_error("remove", &self.id, &self.path))?;
        self.remove_lock()
            .map_err(io_error("remove the lock of", &self.id, self.lock.path()))
    }

    fn abandon(self: Box<Self>) {
        let removed = self.remove_directory().and_then(|()| self.remove_lock());
        if let Err(error) = removed {
            // The next claim finds the directory without a record and takes it over.
            tracing::warn!(sandbox = %self.id, %error, "an abandoned creation left its directory");
        }
    }

    fn ledger(&self) -> Ledger {
        let lines = FileLines::new(&self.path, Arc::clone(&self.disk));
        Ledger::new(self.id.clone(), self.boot.clone(), Arc::new(lines))
    }

    fn path(&self) -> PathBuf {
        self.path.join(RECORD)
    }

    fn boot(&self) -> &BootId {
        &self.boot
    }
}
