//! Stores that each break one promise.

mod backing;
mod broken_store;

use std::fmt;
use std::sync::Arc;

use virtcontainers_store::Store;
use virtcontainers_types::SandboxId;

use crate::conformance::store::{Harness, MemoryHarness, Place};

use broken_store::{BrokenStore, Shared};

/// A store that breaks the promise that it is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// The promise.
    pub breaks: &'static str,
}

const fn broken(breaks: &'static str) -> Broken {
    Broken { breaks }
}

/// One store for each promise.
pub const ALL: &[Broken] = &[
    broken("one-creator-wins"),
    broken("a-taken-id-is-refused-at-once"),
    broken("who-loses-changes-nothing"),
    broken("a-dropped-claim-leaves-nothing"),
    broken("what-is-not-there-is-not-found"),
    broken("a-commit-is-read-back"),
    broken("a-peek-shows-the-last-commit"),
    broken("a-peek-needs-no-lock"),
    broken("a-removed-sandbox-is-gone"),
    broken("the-list-is-in-order"),
    broken("the-list-shows-what-is-being-created"),
    broken("an-unreadable-record-is-corrupt"),
    broken("a-later-format-is-incompatible"),
    broken("what-is-damaged-can-be-salvaged"),
    broken("readers-read-together"),
    broken("readers-do-not-write"),
    broken("who-writes-shuts-out-readers"),
    broken("who-reads-shuts-out-writers"),
    broken("who-does-not-wait-is-told-busy"),
    broken("a-wait-ends-with-its-deadline"),
    broken("the-holder-is-named"),
    broken("a-waiter-gets-the-lock"),
    broken("a-salvage-is-alone"),
    broken("a-sweep-takes-nothing-in-use"),
    broken("a-ledger-needs-no-lease"),
    broken("no-sandbox-no-ledger"),
    broken("an-earlier-boot-is-void"),
];

/// The harness of a broken store.
#[derive(Debug)]
pub struct BrokenHarness(Broken);

impl BrokenHarness {
    /// For this store.
    pub const fn new(broken: Broken) -> Self {
        Self(broken)
    }
}

impl Harness for BrokenHarness {
    fn name(&self) -> String {
        format!("records in memory, but not {}", self.0.breaks)
    }

    fn place(&self) -> Result<Box<dyn Place>, String> {
        Ok(Box::new(BrokenPlace {
            inner: MemoryHarness.place()?,
            breaks: self.0.breaks,
            shared: Arc::default(),
        }))
    }
}

struct BrokenPlace {
    inner: Box<dyn Place>,
    breaks: &'static str,
    shared: Arc<Shared>,
}

impl fmt::Debug for BrokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokenPlace({})", self.breaks)
    }
}

impl Place for BrokenPlace {
    fn store(&self) -> Arc<dyn Store> {
        let shared = Arc::clone(&self.shared);
        Arc::new(BrokenStore::new(self.inner.store(), self.breaks, shared))
    }

    fn rebooted(&self) -> Arc<dyn Store> {
        match self.breaks {
            "an-earlier-boot-is-void" => self.inner.store(),
            _ => self.inner.rebooted(),
        }
    }

    fn tamper(&self, id: &SandboxId, bytes: &[u8]) -> Result<(), String> {
        self.inner.tamper(id, bytes)
    }
}
