//! A store with points before and after everything that it writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use virtcontainers_store::{
    Backing, BootId, Claim, Error, Lease, LeaseMode, Ledger, Lines, Salvage, Store, Summary,
};
use virtcontainers_types::SandboxId;

use super::Points;
use super::points::Side;

/// A store around another one. Taking a lease is a point of its own; a ledger's entry has one before
/// it and one after it, so that whatever it announces lies between two points.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn Store>,
    points: Points,
}

impl FaultStore {
    /// The same store, with points.
    pub fn new(inner: Arc<dyn Store>, points: Points) -> Self {
        Self { inner, points }
    }

    fn place(&self) -> impl FnOnce(Box<dyn Backing>) -> Box<dyn Backing> {
        let points = self.points.clone();
        move |inner| Box::new(Place { inner, points })
    }
}

impl Store for FaultStore {
    fn create(&self, id: &SandboxId, operation: &str, deadline: Duration) -> Result<Claim, Error> {
        let claim = self.inner.create(id, operation, deadline)?;
        Ok(claim.wrap(self.place()))
    }

    fn open(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Lease, Error> {
        let lease = self.inner.open(id, mode, operation, deadline)?;
        Ok(lease.wrap(self.place()))
    }

    fn peek(&self, id: &SandboxId) -> Result<Summary, Error> {
        self.inner.peek(id)
    }

    fn salvage(
        &self,
        id: &SandboxId,
        operation: &str,
        deadline: Duration,
    ) -> Result<Salvage, Error> {
        let salvage = self.inner.salvage(id, operation, deadline)?;
        Ok(salvage.wrap(self.place()))
    }

    fn list(&self) -> Result<Vec<Result<SandboxId, Error>>, Error> {
        self.inner.list()
    }

    fn ledger(&self, id: &SandboxId) -> Ledger {
        with_points(self.inner.ledger(id), &self.points)
    }

    fn sweep(&self) -> Result<usize, Error> {
        self.inner.sweep()
    }
}

fn with_points(ledger: Ledger, points: &Points) -> Ledger {
    let points = points.clone();
    ledger.wrap(|inner| Arc::new(FaultLines { inner, points }))
}

#[derive(Debug)]
struct Place {
    inner: Box<dyn Backing>,
    points: Points,
}

impl Place {
    fn error(&self, operation: &'static str) -> impl Fn(String) -> Error + use<> {
        let path = self.inner.path();
        move |struck| Error::of_place(operation, path.clone(), io::Error::other(struck))
    }
}

impl Backing for Place {
    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        self.inner.read()
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let error = self.error("commit the record of a");
        let inner = &mut self.inner;
        self.points.around("commit", || inner.replace(bytes), error)
    }

    fn remove(self: Box<Self>) -> Result<(), Error> {
        let error = self.error("remove a");
        let Self { inner, points } = *self;
        points.around("remove", || inner.remove(), error)
    }

    fn abandon(self: Box<Self>) {
        let Self { inner, points } = *self;
        // It cannot fail; cancelled and killed it can be.
        drop(points.pass(Side::Before, "abandon"));
        inner.abandon();
        drop(points.pass(Side::After, "abandon"));
    }

    fn ledger(&self) -> Ledger {
        with_points(self.inner.ledger(), &self.points)
    }

    fn path(&self) -> PathBuf {
        self.inner.path()
    }

    fn boot(&self) -> &BootId {
        self.inner.boot()
    }
}

#[derive(Debug)]
struct FaultLines {
    inner: Arc<dyn Lines>,
    points: Points,
}

impl Lines for FaultLines {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let entry = || format!("entry {}", String::from_utf8_lossy(bytes).trim());
        let append = || self.inner.append(bytes);
        self.points.around(&entry(), append, io::Error::other)
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        self.inner.read()
    }

    fn rewrite(&self, edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> io::Result<()> {
        let rewrite = || self.inner.rewrite(edit);
        self.points.around("forget", rewrite, io::Error::other)
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }
}
