//! Records as files.
//!
//! ```text
//! ROOT/sandboxes/ID/record.json   the record; replaced by rename, never written in place
//! ROOT/sandboxes/ID/ledger        the undo entries
//! ROOT/locks/ID.lock              held by leases; outlives the record, so that who waits for the
//!                                 lock of a removed sandbox does not hold something unnamed
//! ```

mod disk;
mod lines;
mod place;
mod read;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, DirEntry};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use virtcontainers_types::SandboxId;

use crate::error::Problem;
use crate::lease::io_error;
use crate::lock::{Lock, LockError};
use crate::{BootId, Claim, Error, Lease, LeaseMode, Ledger, Salvage, Store, Summary, codec};
use disk::{Disk, Kernel, if_there};
use place::{Place, RECORD};
use read::Start;

/// The store on a file system. Its directories are made when the first sandbox is, mode 0700.
#[derive(Debug, Clone)]
pub struct FileStore {
    root: PathBuf,
    boot: BootId,
    disk: Arc<dyn Disk>,
}

impl FileStore {
    /// The store under `root`, absolute. No effect yet.
    pub fn new(root: impl Into<PathBuf>, boot: BootId) -> Self {
        Self::on(Arc::new(Kernel), root.into(), boot)
    }

    fn on(disk: Arc<dyn Disk>, root: PathBuf, boot: BootId) -> Self {
        Self { root, boot, disk }
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

    fn lock_path(&self, id: &SandboxId) -> PathBuf {
        self.locks().join(format!("{id}.lock"))
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
        let path = self.directory(id);
        let lock_path = self.lock_path(id);
        let not_found = || Error::of(verb, id, Problem::NotFound);
        let lock = match Lock::acquire_existing(&lock_path, mode, operation, deadline) {
            // No lock and no sandbox, nearly always; but a lock file may have been removed.
            Err(LockError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                if !path.exists() {
                    return Err(not_found());
                }
                make_directories(&self.locks()).map_err(io_error(verb, id, &self.locks()))?;
                Lock::acquire(&lock_path, mode, operation, deadline)
            }
            result => result,
        };
        let lock = lock.map_err(|error| self.lock_error(verb, id, deadline, error))?;
        match if_there(open_directory(&path)).map_err(io_error(verb, id, &path))? {
            Some(directory) => Ok(self.place(id, path, directory, lock)),
            None => {
                if lock.is_sole().map_err(io_error(verb, id, &lock_path))? {
                    self.disk
                        .remove_if_there(CWD, &lock_path)
                        .map_err(io_error(verb, id, &lock_path))?;
                }
                Err(not_found())
            }
        }
    }

    fn place(&self, id: &SandboxId, path: PathBuf, directory: OwnedFd, lock: Lock) -> Place {
        Place {
            id: id.clone(),
            path,
            directory,
            boot: self.boot.clone(),
            lock,
            disk: Arc::clone(&self.disk),
        }
    }

    /// Locks an id for its creation, unless somebody uses it or is about to.
    fn lock_new(&self, id: &SandboxId, operation: &str, wait: Duration) -> Result<Lock, LockError> {
        let path = self.lock_path(id);
        match Lock::acquire(&path, LeaseMode::Exclusive, operation, wait) {
            Err(LockError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                // The first sandbox of all.
                for path in [self.sandboxes(), self.locks()] {
                    make_directories(&path)?;
                }
                Lock::acquire(&path, LeaseMode::Exclusive, operation, wait)
            }
            result => result,
        }
    }

    /// Whether the directory of a sandbox was not there before.
    fn make_directory(&self, path: &Path) -> io::Result<bool> {
        let result = match self.disk.make_directory(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directories(&self.sandboxes())?;
                self.disk.make_directory(path)
            }
            result => result,
        };
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
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
        // A directory and a holder: somebody uses the id or is about to. A holder alone is about to
        // make the directory, or has just removed it: wait and see.
        let mut result = Err(LockError::Held(None));
        for wait in [Duration::ZERO, deadline] {
            result = self.lock_new(id, operation, wait);
            if matches!(result, Err(LockError::Held(_))) && directory.exists() {
                return Err(in_use());
            }
            if !matches!(result, Err(LockError::Held(_))) {
                break;
            }
        }
        let lock = result.map_err(|error| self.lock_error(VERB, id, deadline, error))?;
        let failed = || io_error(VERB, id, &directory);
        let is_new = self.make_directory(&directory).map_err(failed())?;
        let opened = open_directory(&directory).map_err(failed())?;
        // Not new: an earlier creation was interrupted before its first effect, or there is a record.
        if !is_new && has_record(&opened).map_err(failed())? {
            return Err(in_use());
        }
        let place = self.place(id, directory, opened, lock);
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
        let failed = || io_error(VERB, id, &path);
        let Some(start) = if_there(Start::read(CWD, &path)).map_err(failed())? else {
            return Err(Error::of(VERB, id, Problem::NotFound));
        };
        let origin = codec::Origin {
            id,
            boot: &self.boot,
            path: &path,
        };
        let problem = |problem| Error::of(VERB, id, problem);
        match codec::decode_start(&start.bytes, start.length, origin).map_err(problem)? {
            Some(summary) => Ok(summary),
            None => {
                let bytes = start.into_whole().map_err(failed())?;
                codec::decode_summary(&bytes, origin).map_err(problem)
            }
        }
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
        let lines = lines::FileLines::new(&self.directory(id), Arc::clone(&self.disk));
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
            let mode = LeaseMode::Exclusive;
            let Ok(_lock) = Lock::acquire_existing(&path, mode, "sweep", Duration::ZERO) else {
                continue;
            };
            if !self.directory(&id).exists() {
                self.disk
                    .remove_if_there(CWD, &path)
                    .map_err(io_error(VERB, &id, &path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn has_record(directory: &OwnedFd) -> io::Result<bool> {
    let found = rustix::fs::statat(directory.as_fd(), RECORD, AtFlags::SYMLINK_NOFOLLOW);
    Ok(if_there(found.map_err(io::Error::from))?.is_some())
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
