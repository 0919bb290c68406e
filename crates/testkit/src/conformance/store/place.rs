//! What the suite must know of a store besides its port.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use virtcontainers_store::{BootId, FileStore, MemoryStore, Store};
use virtcontainers_types::SandboxId;

/// What a check waits for that must happen.
pub(super) const PATIENT: Duration = Duration::from_secs(60);
/// What a check waits for that must not happen.
pub(super) const BRIEF: Duration = Duration::from_millis(20);

/// How to make stores.
pub trait Harness: Send + Sync {
    /// What is tried, for the report.
    fn name(&self) -> String;

    /// A place with nothing stored.
    fn place(&self) -> Result<Box<dyn Place>, String>;
}

/// A place where records are, as several processes and boots have it.
pub trait Place: Send + Sync {
    /// A store at this place, as another process would have it.
    fn store(&self) -> Arc<dyn Store>;

    /// A store at this place after the host was booted again.
    fn rebooted(&self) -> Arc<dyn Store>;

    /// Puts bytes in the place of a record, past the port.
    fn tamper(&self, id: &SandboxId, bytes: &[u8]) -> Result<(), String>;
}

fn boots() -> (BootId, BootId) {
    (BootId::new("boot-1"), BootId::new("boot-2"))
}

/// For records in files.
#[derive(Debug)]
pub struct FileHarness;

struct Files {
    root: tempfile::TempDir,
}

impl Harness for FileHarness {
    fn name(&self) -> String {
        "records in files".to_owned()
    }

    fn place(&self) -> Result<Box<dyn Place>, String> {
        let root = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Box::new(Files { root }))
    }
}

impl Files {
    fn path(&self) -> PathBuf {
        self.root.path().join("state")
    }
}

impl Place for Files {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(FileStore::new(self.path(), boots().0))
    }

    fn rebooted(&self) -> Arc<dyn Store> {
        Arc::new(FileStore::new(self.path(), boots().1))
    }

    fn tamper(&self, id: &SandboxId, bytes: &[u8]) -> Result<(), String> {
        let salvage = self.store().salvage(id, "tamper", PATIENT);
        let path = salvage.map_err(|error| error.to_string())?.path();
        std::fs::write(path, bytes).map_err(|error| error.to_string())
    }
}

/// For records in memory.
#[derive(Debug)]
pub struct MemoryHarness;

struct Memory(MemoryStore);

impl Harness for MemoryHarness {
    fn name(&self) -> String {
        "records in memory".to_owned()
    }

    fn place(&self) -> Result<Box<dyn Place>, String> {
        Ok(Box::new(Memory(MemoryStore::new(boots().0))))
    }
}

impl Place for Memory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn rebooted(&self) -> Arc<dyn Store> {
        Arc::new(self.0.rebooted(boots().1))
    }

    fn tamper(&self, id: &SandboxId, bytes: &[u8]) -> Result<(), String> {
        self.0.tamper(id, bytes);
        Ok(())
    }
}
