//! A store that is wrong in one way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use virtcontainers_store::{
    BootId, Claim, Error, ErrorKind, Lease, LeaseMode, Ledger, MemoryStore, Salvage, Store, Summary,
};
use virtcontainers_types::{SandboxId, SandboxState};

use super::backing::{Claimed, Ghost, dismantle};
use crate::conformance::store::record;

const AMPLE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct BrokenStore {
    inner: Arc<dyn Store>,
    breaks: &'static str,
    shared: Arc<Shared>,
}

/// What all instances at one place know.
#[derive(Debug)]
pub(super) struct Shared {
    peeked: Mutex<BTreeMap<SandboxId, Summary>>,
    /// Another store altogether.
    elsewhere: MemoryStore,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            peeked: Mutex::default(),
            elsewhere: MemoryStore::new(BootId::new("boot-1")),
        }
    }
}

impl BrokenStore {
    pub(super) fn new(inner: Arc<dyn Store>, breaks: &'static str, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            breaks,
            shared,
        }
    }

    /// Whether there is a record.
    fn has(&self, id: &SandboxId) -> bool {
        self.inner.peek(id).is_ok()
    }

    /// A sandbox of this id in the other store, made there first if need be.
    fn elsewhere(&self, id: &SandboxId) -> Result<Lease, Error> {
        let store = &self.shared.elsewhere;
        if let (Ok(claim), Ok(record)) = (store.create(id, "create", AMPLE), record(id)) {
            return claim.commit(record);
        }
        store.open(id, LeaseMode::Exclusive, "enter", AMPLE)
    }

    /// The answer for something else: that it is not found.
    fn lost<T>(&self, instead: Error) -> Result<T, Error> {
        let Ok(nobody) = SandboxId::new("nobody") else {
            return Err(instead);
        };
        let answer = self.inner.open(&nobody, LeaseMode::Shared, "look", AMPLE);
        Err(answer.err().unwrap_or(instead))
    }

    /// An answer to a failed opening.
    fn mend(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        error: Error,
    ) -> Result<Lease, Error> {
        let kind = error.kind();
        let held = error.holder().and_then(|holder| holder.operation.clone());
        let ghost = |error: Error| match self.elsewhere(id) {
            Ok(lease) => Lease::new(id.clone(), mode, Box::new(Ghost::copy(lease))),
            Err(_) => Err(error),
        };
        match (self.breaks, kind, mode) {
            ("an-unreadable-record-is-corrupt", ErrorKind::Corrupt, _)
            | ("a-later-format-is-incompatible", ErrorKind::Incompatible, _) => self.lost(error),
            ("who-writes-shuts-out-readers", ErrorKind::Busy, LeaseMode::Shared) => ghost(error),
            ("who-reads-shuts-out-writers", ErrorKind::Busy, LeaseMode::Exclusive)
                if held.as_deref() == Some("read") =>
            {
                ghost(error)
            }
            ("who-does-not-wait-is-told-busy", ErrorKind::Busy, LeaseMode::Exclusive)
                if held.as_deref() == Some("write") =>
            {
                let brief = Duration::from_millis(1);
                self.inner.open(id, mode, operation, brief)
            }
            ("a-wait-ends-with-its-deadline", ErrorKind::Timeout, _) => {
                self.inner.open(id, mode, operation, Duration::ZERO)
            }
            _ => Err(error),
        }
    }
}

impl Store for BrokenStore {
    fn create(&self, id: &SandboxId, operation: &str, deadline: Duration) -> Result<Claim, Error> {
        let error = match self.inner.create(id, operation, deadline) {
            Ok(claim) => {
                let Ok(record) = record(id) else {
                    return Ok(claim);
                };
                let place = Claimed::new(claim, record, &*self.inner, self.breaks);
                return Ok(Claim::new(id.clone(), Box::new(place)));
            }
            Err(error) => error,
        };
        match self.breaks {
            "one-creator-wins" if !self.has(id) => {
                let ghost = Ghost::empty(self.inner.ledger(id));
                Ok(Claim::new(id.clone(), Box::new(ghost)))
            }
            "a-taken-id-is-refused-at-once" if self.has(id) => {
                let mode = LeaseMode::Exclusive;
                let opened = self.inner.open(id, mode, operation, Duration::ZERO);
                Err(opened.err().unwrap_or(error))
            }
            "who-loses-changes-nothing" => {
                self.inner.ledger(id).clear()?;
                Err(error)
            }
            _ => Err(error),
        }
    }

    fn open(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Lease, Error> {
        let shared = mode == LeaseMode::Shared;
        let (asked, operation, deadline) = match self.breaks {
            "readers-read-together" => (LeaseMode::Exclusive, operation, deadline),
            "the-holder-is-named" => (mode, "something", deadline),
            "a-waiter-gets-the-lock" if !shared => (mode, operation, deadline.min(AMPLE / 1000)),
            _ => (mode, operation, deadline),
        };
        let lease = match self.inner.open(id, asked, operation, deadline) {
            Ok(lease) => lease,
            Err(error) => return self.mend(id, mode, operation, error),
        };
        match self.breaks {
            "readers-read-together" if shared => Lease::new(id.clone(), mode, dismantle(lease)),
            "readers-do-not-write" if shared => {
                Lease::new(id.clone(), LeaseMode::Exclusive, dismantle(lease))
            }
            "a-commit-is-read-back" if shared && lease.record().state == SandboxState::Ready => {
                let old = Ghost::copy(self.elsewhere(id)?);
                Lease::new(id.clone(), mode, Box::new(old))
            }
            _ => Ok(lease),
        }
    }

    fn peek(&self, id: &SandboxId) -> Result<Summary, Error> {
        match self.breaks {
            "a-peek-needs-no-lock" => {
                let mode = LeaseMode::Shared;
                drop(self.inner.open(id, mode, "peek", Duration::ZERO)?);
                self.inner.peek(id)
            }
            "a-peek-shows-the-last-commit" => {
                let found = self.inner.peek(id)?;
                let peeked = self.shared.peeked.lock();
                let mut peeked = peeked.unwrap_or_else(PoisonError::into_inner);
                Ok(peeked.entry(id.clone()).or_insert(found).clone())
            }
            "what-is-not-there-is-not-found" => match self.inner.peek(id) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    drop(self.elsewhere(id)?);
                    self.shared.elsewhere.peek(id)
                }
                peeked => peeked,
            },
            _ => self.inner.peek(id),
        }
    }

    fn salvage(
        &self,
        id: &SandboxId,
        operation: &str,
        deadline: Duration,
    ) -> Result<Salvage, Error> {
        let salvage = self.inner.salvage(id, operation, deadline);
        match (self.breaks, salvage) {
            ("a-salvage-is-alone", Err(error)) if error.kind() == ErrorKind::Busy => {
                let ghost = Ghost::copy(self.elsewhere(id)?);
                Ok(Salvage::new(id.clone(), Box::new(ghost)))
            }
            ("what-is-damaged-can-be-salvaged", Ok(salvage)) if salvage.record().is_err() => {
                drop(salvage);
                let mode = LeaseMode::Exclusive;
                match self.inner.open(id, mode, operation, deadline) {
                    Err(error) => Err(error),
                    Ok(lease) => {
                        drop(lease);
                        self.inner.salvage(id, operation, deadline)
                    }
                }
            }
            (_, salvage) => salvage,
        }
    }

    fn list(&self) -> Result<Vec<Result<SandboxId, Error>>, Error> {
        let mut list = self.inner.list()?;
        match self.breaks {
            "the-list-is-in-order" => list.reverse(),
            "the-list-shows-what-is-being-created" => {
                list.retain(|id| id.as_ref().is_ok_and(|id| self.has(id)));
            }
            _ => {}
        }
        Ok(list)
    }

    fn ledger(&self, id: &SandboxId) -> Ledger {
        let elsewhere = match self.breaks {
            "a-ledger-needs-no-lease" => self.has(id),
            "no-sandbox-no-ledger" => !self.has(id),
            _ => false,
        };
        if !elsewhere {
            return self.inner.ledger(id);
        }
        // Made there, so that entries are taken.
        drop(self.elsewhere(id));
        self.shared.elsewhere.ledger(id)
    }

    fn sweep(&self) -> Result<usize, Error> {
        if self.breaks == "a-sweep-takes-nothing-in-use" {
            for id in self.inner.list()?.into_iter().flatten() {
                self.inner.ledger(&id).clear()?;
            }
        }
        self.inner.sweep()
    }
}
