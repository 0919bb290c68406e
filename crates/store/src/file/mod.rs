//! Records as files.
//!
//! ```text
//! ROOT/sandboxes/ID/record.json   the record; replaced by rename, never written in place
//! ROOT/sandboxes/ID/ledger        the undo entries
//! ROOT/locks/ID.lock              held by leases; outlives the record, so that who waits for the
//!                                 lock of a removed sandbox does not hold something unnamed
//! ```

mod lines;
mod place;
mod replace;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, DirEntry};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use virtcontainers_types::SandboxId;

use crate::error::Problem;
use crate::lease::io_error;
use crate::lock::{Lock, LockError};
use crate::{BootId, Claim, Error, Lease, LeaseMode, Ledger, Salvage, Store, Summary, codec};
use place::{Place, RECORD};

/// The store on a file system. Its directories are made when the first sandbox is, mode 0700.
#[derive(Debug, Clone)]
pub struct FileStore {
    root: PathBuf,
    boot: BootId,
}

impl FileStore {
    /// The store under `root`, absolute. No effect yet.
    pub fn new(root: impl Into<PathBuf>, boot: BootId) -> Self {
        Self {
            root: root.into(),
            boot,
        }
    }

    /// The directory of records.
    fn sandboxes(&self) -> PathBuf {
        self.root.join("sandboxes")
    }

    fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    fn directory(&self, id: &SandboxId) -> PathBuf {
        self.sandboxes().join(id)
    }

    fn lock(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Lock, LockError> {
        let path = self.locks().join(format!("{id}.lock"));
        Lock::acquire(&path, mode, operation, deadline)
    }

    /// Locks a sandbox that has at least a directory.
    fn enter(
        &self,
        verb: &'static str,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Place, Error> {
        let directory = self.directory(id);
        let not_found = || Error::of(verb, id, Problem::NotFound);
        if !directory.exists() {
            return Err(not_found());
        }
        let lock = self
            .lock(id, mode, operation, deadline)
            .map_err(|error| self.lock_error(verb, id, deadline, error))?;
        if !directory.exists() {
            lock.discard().map_err(io_error(verb, id, &self.locks()))?;
            return Err(not_found());
        }
        Ok(Place::new(id.clone(), directory, self.boot.clone(), lock))
    }

    fn lock_error(
        &self,
        verb: &'static str,
        id: &SandboxId,
        waited: Duration,
        error: LockError,
    ) -> Error {
        match error {
            LockError::Held(holder) => Error::of(verb, id, Problem::Locked { waited, holder }),
            LockError::Io(error) => io_error(verb, id, &self.locks())(error),
        }
    }
}

impl Store for FileStore {
    fn create(&self, id: &SandboxId, operation: &str, deadline: Duration) -> Result<Claim, Error> {
        const VERB: &str = "create";
        let directory = self.directory(id);
        let in_use = || Error::of(VERB, id, Problem::AlreadyExists);
        for path in [self.sandboxes(), self.locks()] {
            make_directories(&path).map_err(io_error(VERB, id, &path))?;
        }
        // A directory and a holder: somebody uses the id or is about to. A holder alone is about to
        // make the directory, or has just removed it: wait and see.
        let mut result = Err(LockError::Held(None));
        for wait in [Duration::ZERO, deadline] {
            result = self.lock(id, LeaseMode::Exclusive, operation, wait);
            if matches!(result, Err(LockError::Held(_))) && directory.exists() {
                return Err(in_use());
            }
            if !matches!(result, Err(LockError::Held(_))) {
                break;
            }
        }
        let lock = result.map_err(|error| self.lock_error(VERB, id, deadline, error))?;
        if directory.join(RECORD).exists() {
            return Err(in_use());
        }
        match DirBuilder::new().mode(0o700).create(&directory) {
            // An earlier creation was interrupted before its first effect.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result.map_err(io_error(VERB, id, &directory))?,
        }
        let place = Place::new(id.clone(), directory, self.boot.clone(), lock);
        Ok(Claim::new(id.clone(), Box::new(place)))
    }

    fn open(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Lease, Error> {
        let place = self.enter("open", id, mode, operation, deadline)?;
        Lease::new(id.clone(), mode, Box::new(place))
    }

    fn peek(&self, id: &SandboxId) -> Result<Summary, Error> {
        const VERB: &str = "read the record of";
        let path = self.directory(id).join(RECORD);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::of(VERB, id, Problem::NotFound));
            }
            Err(error) => return Err(io_error(VERB, id, &path)(error)),
        };
        let origin = codec::Origin {
            id,
            boot: &self.boot,
            path: &path,
        };
        codec::decode_summary(&bytes, origin).map_err(|problem| Error::of(VERB, id, problem))
    }

    fn salvage(
        &self,
        id: &SandboxId,
        operation: &str,
        deadline: Duration,
    ) -> Result<Salvage, Error> {
        let place = self.enter("salvage", id, LeaseMode::Exclusive, operation, deadline)?;
        Ok(Salvage::new(id.clone(), Box::new(place)))
    }

    fn list(&self) -> Result<Vec<Result<SandboxId, Error>>, Error> {
        const VERB: &str = "list sandboxes";
        let mut ids = Vec::new();
        let mut strangers = Vec::new();
        for entry in entries(VERB, &self.sandboxes())? {
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            match id {
                Some(id) if entry.file_type().is_ok_and(|kind| kind.is_dir()) => ids.push(id),
                _ => strangers.push(Error::new(VERB, Problem::Stranger { path: entry.path() })),
            }
        }
        ids.sort_unstable();
        let ids = ids.into_iter().map(Ok);
        Ok(ids.chain(strangers.into_iter().map(Err)).collect())
    }

    fn ledger(&self, id: &SandboxId) -> Ledger {
        let lines = lines::FileLines::new(self.directory(id));
        Ledger::new(id.clone(), self.boot.clone(), Arc::new(lines))
    }

    fn sweep(&self) -> Result<usize, Error> {
        const VERB: &str = "sweep the locks";
        let mut removed = 0;
        for entry in entries(VERB, &self.locks())? {
            let path = entry.path();
            let id: Option<SandboxId> = match path.extension() {
                Some(extension) if extension == OsStr::new("lock") => path
                    .file_stem()
                    .and_then(OsStr::to_str)
                    .and_then(|stem| stem.parse().ok()),
                _ => None,
            };
            let Some(id) = id else { continue };
            if self.directory(&id).exists() {
                continue;
            }
            let Ok(lock) = self.lock(&id, LeaseMode::Exclusive, "sweep", Duration::ZERO) else {
                continue;
            };
            if !self.directory(&id).exists() {
                lock.remove().map_err(io_error(VERB, &id, &path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn make_directories(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn entries(verb: &'static str, directory: &Path) -> Result<Vec<DirEntry>, Error> {
    let failed = |source| {
        let path = directory.to_owned();
        Error::new(verb, Problem::Io { path, source })
    };
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect::<io::Result<_>>().map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests;
