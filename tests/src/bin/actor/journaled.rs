//! A store that writes a history of what is read, written and removed through it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use virtcontainers::types::SandboxId;
use virtcontainers_store::{
    Backing, BootId, Claim, Error, ErrorKind, FileStore, Lease, LeaseMode, Ledger, Salvage, Store,
    Summary,
};
use virtcontainers_tests::history::{Event, Journal, Seen, now};

/// The store.
#[derive(Debug)]
pub(crate) struct Journaled {
    store: FileStore,
    journal: Arc<Journal>,
}

impl Journaled {
    pub(crate) fn new(store: FileStore, journal: Arc<Journal>) -> Self {
        Self { store, journal }
    }

    fn missed(&self, from: u64, error: &Error) {
        if error.kind() == ErrorKind::NotFound {
            tell(&self.journal, from, Event::Missed);
        }
    }

    fn place(
        &self,
        inner: Box<dyn Backing>,
        id: &SandboxId,
        by: &str,
        last: Option<Seen>,
    ) -> Box<dyn Backing> {
        Box::new(Place {
            inner,
            store: self.store.clone(),
            journal: Arc::clone(&self.journal),
            id: id.clone(),
            by: by.to_owned(),
            last,
        })
    }
}

/// A history with a hole would be worth nothing.
fn tell(journal: &Journal, from: u64, event: Event) {
    if let Err(error) = journal.tell(from, event) {
        eprintln!("actor: cannot write the history: {error}");
        std::process::abort();
    }
}

fn seen(summary: &Summary) -> Seen {
    let containers = summary.containers.iter();
    Seen {
        generation: summary.generation(),
        state: summary.state,
        annotations: summary.annotations.clone(),
        containers: containers.map(|one| (one.id.clone(), one.state)).collect(),
    }
}

impl Store for Journaled {
    fn create(&self, id: &SandboxId, operation: &str, deadline: Duration) -> Result<Claim, Error> {
        let claim = self.store.create(id, operation, deadline)?;
        Ok(claim.wrap(|inner| self.place(inner, id, operation, None)))
    }

    fn open(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Lease, Error> {
        let from = now();
        let lease = self.store.open(id, mode, operation, deadline);
        let lease = lease.inspect_err(|error| self.missed(from, error))?;
        let read = seen(&lease.record().clone().into());
        tell(&self.journal, from, Event::Read(read.clone()));
        Ok(lease.wrap(|inner| self.place(inner, id, operation, Some(read))))
    }

    fn peek(&self, id: &SandboxId) -> Result<Summary, Error> {
        let from = now();
        let summary = self.store.peek(id);
        let summary = summary.inspect_err(|error| self.missed(from, error))?;
        tell(&self.journal, from, Event::Read(seen(&summary)));
        Ok(summary)
    }

    fn salvage(
        &self,
        id: &SandboxId,
        operation: &str,
        deadline: Duration,
    ) -> Result<Salvage, Error> {
        let from = now();
        let salvage = self.store.salvage(id, operation, deadline);
        let salvage = salvage.inspect_err(|error| self.missed(from, error))?;
        let read = salvage.record().ok().cloned().map(Summary::from);
        let read = read.as_ref().map(seen);
        Ok(salvage.wrap(|inner| self.place(inner, id, operation, read)))
    }

    fn list(&self) -> Result<Vec<Result<SandboxId, Error>>, Error> {
        self.store.list()
    }

    fn ledger(&self, id: &SandboxId) -> Ledger {
        self.store.ledger(id)
    }

    fn sweep(&self) -> Result<usize, Error> {
        self.store.sweep()
    }
}

/// One sandbox's place, locked.
#[derive(Debug)]
struct Place {
    inner: Box<dyn Backing>,
    store: FileStore,
    journal: Arc<Journal>,
    id: SandboxId,
    by: String,
    /// The record as this holder last read or wrote it.
    last: Option<Seen>,
}

impl Backing for Place {
    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        self.inner.read()
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let from = now();
        self.inner.replace(bytes)?;
        // What is there now, and not what was meant: nobody else may write meanwhile.
        let seen = seen(&self.store.peek(&self.id)?);
        self.last = Some(seen.clone());
        let by = self.by.clone();
        tell(&self.journal, from, Event::Wrote { by, seen });
        Ok(())
    }

    fn remove(self: Box<Self>) -> Result<(), Error> {
        let from = now();
        self.inner.remove()?;
        tell(&self.journal, from, Event::Removed(self.last));
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        self.inner.abandon();
    }

    fn ledger(&self) -> Ledger {
        self.inner.ledger()
    }

    fn path(&self) -> PathBuf {
        self.inner.path()
    }

    fn boot(&self) -> &BootId {
        self.inner.boot()
    }
}
