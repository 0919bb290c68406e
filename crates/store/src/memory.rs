//! Records in memory, for tests and for runtimes that need not outlive their process. The bytes
//! are those of the file store, and so are the promises, except that nothing survives.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use virtcontainers_types::SandboxId;

use crate::error::Problem;
use crate::ledger::Lines;
use crate::lock::PROGRAM;
use crate::{
    Backing, BootId, Claim, Error, Holder, Lease, LeaseMode, Ledger, Salvage, Store, Summary, codec,
};

/// A store in memory. Clones are the same store.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    boot: BootId,
}

type Slots = BTreeMap<SandboxId, Slot>;

#[derive(Debug, Default)]
struct Shared {
    slots: Mutex<Slots>,
    released: Condvar,
}

/// What there is of one id. A slot without record is a claim, or somebody waits at it.
#[derive(Debug, Default)]
struct Slot {
    /// A creation has begun.
    exists: bool,
    record: Option<Vec<u8>>,
    ledger: Vec<u8>,
    readers: usize,
    writer: bool,
    last: Option<(String, Instant)>,
}

impl Slot {
    fn try_lock(&mut self, mode: LeaseMode, operation: &str) -> bool {
        match mode {
            LeaseMode::Shared if !self.writer => self.readers += 1,
            LeaseMode::Exclusive if !self.writer && self.readers == 0 => self.writer = true,
            LeaseMode::Shared | LeaseMode::Exclusive => return false,
        }
        self.last = Some((operation.to_owned(), Instant::now()));
        true
    }

    fn holder(&self) -> Option<Holder> {
        let (operation, since) = self.last.as_ref()?;
        Some(Holder {
            pid: std::process::id(),
            program: PROGRAM.clone(),
            operation: Some(operation.clone()),
            held_for: Some(since.elapsed()),
        })
    }

    fn is_idle(&self) -> bool {
        !self.exists && !self.writer && self.readers == 0
    }
}

impl Shared {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(boot: BootId) -> Self {
        Self {
            shared: Arc::default(),
            boot,
        }
    }

    /// The same store after the host was booted again: leases taken before are not to be used.
    #[must_use]
    pub fn rebooted(&self, boot: BootId) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            boot,
        }
    }

    /// Puts bytes in the place of a record, for tests of damaged ones.
    pub fn tamper(&self, id: &SandboxId, bytes: &[u8]) {
        let mut slots = self.shared.slots();
        let slot = slots.entry(id.clone()).or_default();
        slot.exists = true;
        slot.record = Some(bytes.to_owned());
    }

    fn place(&self, id: &SandboxId, mode: LeaseMode) -> Place {
        Place {
            store: self.clone(),
            id: id.clone(),
            mode,
        }
    }

    fn enter(
        &self,
        verb: &'static str,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Place, Error> {
        let started = Instant::now();
        let mut slots = self.shared.slots();
        loop {
            let slot = match slots.get_mut(id) {
                Some(slot) if slot.exists => slot,
                _ => return Err(Error::of(verb, id, Problem::NotFound)),
            };
            if slot.try_lock(mode, operation) {
                return Ok(self.place(id, mode));
            }
            slots = self.wait(verb, id, slots, started, deadline)?;
        }
    }

    /// Waits until any lock was released.
    fn wait<'a>(
        &'a self,
        verb: &'static str,
        id: &SandboxId,
        slots: MutexGuard<'a, Slots>,
        started: Instant,
        deadline: Duration,
    ) -> Result<MutexGuard<'a, Slots>, Error> {
        let left = deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            let holder = slots.get(id).and_then(Slot::holder);
            let waited = deadline;
            return Err(Error::of(verb, id, Problem::Locked { waited, holder }));
        }
        let waited = self.shared.released.wait_timeout(slots, left);
        Ok(waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Store for MemoryStore {
    fn create(&self, id: &SandboxId, operation: &str, deadline: Duration) -> Result<Claim, Error> {
        const VERB: &str = "create";
        let started = Instant::now();
        let mut slots = self.shared.slots();
        loop {
            let slot = slots.entry(id.clone()).or_default();
            if slot.exists && (slot.record.is_some() || slot.writer) {
                return Err(Error::of(VERB, id, Problem::AlreadyExists));
            }
            if slot.try_lock(LeaseMode::Exclusive, operation) {
                slot.exists = true;
                break;
            }
            slots = self.wait(VERB, id, slots, started, deadline)?;
        }
        drop(slots);
        let place = self.place(id, LeaseMode::Exclusive);
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
        let record = self
            .shared
            .slots()
            .get(id)
            .and_then(|slot| slot.record.clone());
        let Some(bytes) = record else {
            return Err(Error::of(VERB, id, Problem::NotFound));
        };
        let origin = codec::Origin {
            id,
            boot: &self.boot,
            path: &path(id),
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
        let slots = self.shared.slots();
        let ids = slots.iter().filter(|(_, slot)| slot.exists);
        Ok(ids.map(|(id, _)| Ok(id.clone())).collect())
    }

    fn ledger(&self, id: &SandboxId) -> Ledger {
        let lines = MemoryLines {
            shared: Arc::clone(&self.shared),
            id: id.clone(),
            path: path(id),
        };
        Ledger::new(id.clone(), self.boot.clone(), Arc::new(lines))
    }

    fn sweep(&self) -> Result<usize, Error> {
        Ok(0)
    }
}

fn path(id: &SandboxId) -> PathBuf {
    Path::new("memory").join(id)
}

#[derive(Debug)]
struct Place {
    store: MemoryStore,
    id: SandboxId,
    mode: LeaseMode,
}

impl Backing for Place {
    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let slots = self.store.shared.slots();
        Ok(slots.get(&self.id).and_then(|slot| slot.record.clone()))
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut slots = self.store.shared.slots();
        slots.entry(self.id.clone()).or_default().record = Some(bytes.to_owned());
        Ok(())
    }

    fn remove(self: Box<Self>) -> Result<(), Error> {
        if let Some(slot) = self.store.shared.slots().get_mut(&self.id) {
            slot.exists = false;
            slot.record = None;
            slot.ledger.clear();
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        if let Some(slot) = self.store.shared.slots().get_mut(&self.id)
            && slot.record.is_none()
            && slot.ledger.is_empty()
        {
            slot.exists = false;
        }
    }

    fn ledger(&self) -> Ledger {
        self.store.ledger(&self.id)
    }

    fn path(&self) -> PathBuf {
        path(&self.id)
    }

    fn boot(&self) -> &BootId {
        &self.store.boot
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.store.shared.slots();
        if let Some(slot) = slots.get_mut(&self.id) {
            match self.mode {
                LeaseMode::Shared => slot.readers = slot.readers.saturating_sub(1),
                LeaseMode::Exclusive => slot.writer = false,
            }
            if slot.is_idle() {
                slots.remove(&self.id);
            }
        }
        drop(slots);
        self.store.shared.released.notify_all();
    }
}

#[derive(Debug)]
struct MemoryLines {
    shared: Arc<Shared>,
    id: SandboxId,
    path: PathBuf,
}

impl Lines for MemoryLines {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        match self.shared.slots().get_mut(&self.id) {
            Some(slot) if slot.exists => {
                slot.ledger.extend_from_slice(bytes);
                Ok(())
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let slots = self.shared.slots();
        Ok(slots
            .get(&self.id)
            .map_or_else(Vec::new, |slot| slot.ledger.clone()))
    }

    fn rewrite(&self, edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> io::Result<()> {
        if let Some(slot) = self.shared.slots().get_mut(&self.id) {
            slot.ledger = edit(&slot.ledger);
        }
        Ok(())
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
