//! Leases: the right to read or to write one sandbox's record, until dropped.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use virtcontainers_types::SandboxId;

use crate::error::Problem;
use crate::{BootId, Error, Ledger, Record, codec};

/// Whether others may hold a lease at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseMode {
    /// Beside other shared ones; for reading.
    Shared,
    /// Alone; for writing.
    Exclusive,
}

/// One sandbox's place in a store, locked until dropped. Implemented by stores, and by decorators
/// around theirs.
pub trait Backing: Send + Sync + Debug {
    /// The record's bytes; `None` when there is no record.
    fn read(&self) -> Result<Option<Vec<u8>>, Error>;

    /// Replaces the record's bytes: after a crash at any point the old or the new ones are there.
    fn replace(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Removes ledger, record and lock, in this order. Safe to repeat after a failure.
    fn remove(self: Box<Self>) -> Result<(), Error>;

    /// Releases a place in which no record was ever stored, and leaves nothing of it.
    fn abandon(self: Box<Self>);

    /// The sandbox's ledger.
    fn ledger(&self) -> Ledger;

    /// Where the record is, for messages.
    fn path(&self) -> PathBuf;

    /// The boot that records committed now belong to.
    fn boot(&self) -> &BootId;
}

fn read(id: &SandboxId, backing: &dyn Backing) -> Result<Record, Error> {
    const OPERATION: &str = "read the record of";
    let Some(bytes) = backing.read()? else {
        return Err(Error::of(OPERATION, id, Problem::NoRecord));
    };
    let origin = codec::Origin {
        id,
        boot: backing.boot(),
        path: &backing.path(),
    };
    codec::decode(&bytes, origin).map_err(|problem| Error::of(OPERATION, id, problem))
}

fn write(id: &SandboxId, backing: &mut dyn Backing, record: &mut Record) -> Result<(), Error> {
    const OPERATION: &str = "commit the record of";
    if record.id() != id {
        let found = record.id().clone();
        return Err(Error::of(OPERATION, id, Problem::WrongId { found }));
    }
    record.generation += 1;
    record.boot = Some(backing.boot().clone());
    record.earlier_boot = false;
    let bytes = codec::encode(record).map_err(|problem| Error::of(OPERATION, id, problem))?;
    backing.replace(&bytes)
}

/// An id that is ours and has no record yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Claim {
    id: SandboxId,
    backing: Option<Box<dyn Backing>>,
}

impl Claim {
    /// For stores: the place is locked exclusively and has no record.
    pub fn new(id: SandboxId, backing: Box<dyn Backing>) -> Self {
        Self {
            id,
            backing: Some(backing),
        }
    }

    /// The id.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// Puts a decorator around the place, for tests that inject faults.
    #[must_use]
    pub fn wrap(mut self, wrapper: impl FnOnce(Box<dyn Backing>) -> Box<dyn Backing>) -> Self {
        self.backing = self.backing.take().map(wrapper);
        self
    }

    /// Stores the first record, durably, and goes on with an exclusive lease.
    ///
    /// Errors: `Invalid` when the record is of another sandbox; `Denied`, `Internal`. Nothing is
    /// left then.
    pub fn commit(mut self, mut record: Record) -> Result<Lease, Error> {
        record.generation = 0;
        let Some(mut backing) = self.backing.take() else {
            return Err(Error::of("create", &self.id, Problem::NotFound));
        };
        match write(&self.id, backing.as_mut(), &mut record) {
            Ok(()) => Ok(Lease {
                id: self.id.clone(),
                mode: LeaseMode::Exclusive,
                record,
                backing,
            }),
            Err(error) => {
                backing.abandon();
                Err(error)
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(backing) = self.backing.take() {
            backing.abandon();
        }
    }
}

/// The right to read, and with [`LeaseMode::Exclusive`] to write, one sandbox's record. Others wait
/// until it is dropped; it ends with the process too.
#[derive(Debug)]
pub struct Lease {
    id: SandboxId,
    mode: LeaseMode,
    record: Record,
    backing: Box<dyn Backing>,
}

impl Lease {
    /// For stores: the place is locked in `mode`. Errors as [`Store::open`](crate::Store::open).
    pub fn new(id: SandboxId, mode: LeaseMode, backing: Box<dyn Backing>) -> Result<Self, Error> {
        let record = read(&id, backing.as_ref())?;
        Ok(Self {
            id,
            mode,
            record,
            backing,
        })
    }

    /// The sandbox.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// Shared or exclusive.
    pub fn mode(&self) -> LeaseMode {
        self.mode
    }

    /// The record as this lease last read or wrote it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Reads the record again. Errors as [`Store::open`](crate::Store::open).
    pub fn reload(&mut self) -> Result<&Record, Error> {
        self.record = read(&self.id, self.backing.as_ref())?;
        Ok(&self.record)
    }

    /// Replaces the record, durably and atomically; its generation grows by one and it belongs to
    /// this boot.
    ///
    /// Errors: `WrongState` when the lease is shared, or when `record` does not descend from the
    /// one stored now (an update would be lost); `Invalid` when it is of another sandbox;
    /// `Denied`, `Internal`. [`record`](Self::record) is what is stored then, nearly always the
    /// old one.
    pub fn commit(&mut self, mut record: Record) -> Result<(), Error> {
        const OPERATION: &str = "commit the record of";
        self.require_exclusive(OPERATION)?;
        let (given, current) = (record.generation, self.record.generation);
        if given != current {
            let problem = Problem::Stale { given, current };
            return Err(Error::of(OPERATION, &self.id, problem));
        }
        match write(&self.id, self.backing.as_mut(), &mut record) {
            Ok(()) => {
                self.record = record;
                Ok(())
            }
            Err(error) => {
                // The new record may be there and only its durability in doubt.
                if let Ok(stored) = read(&self.id, self.backing.as_ref()) {
                    self.record = stored;
                }
                Err(error)
            }
        }
    }

    /// Removes the record, the ledger and the lock. What the ledger tells of must be undone before.
    ///
    /// Errors: `WrongState` when the lease is shared; `Denied`, `Internal`: what is left is listed
    /// still and can be [salvaged](crate::Store::salvage).
    pub fn remove(self) -> Result<(), Error> {
        self.require_exclusive("remove")?;
        self.backing.remove()
    }

    /// The sandbox's ledger.
    pub fn ledger(&self) -> Ledger {
        self.backing.ledger()
    }

    /// Puts a decorator around the place, for tests that inject faults.
    #[must_use]
    pub fn wrap(mut self, wrapper: impl FnOnce(Box<dyn Backing>) -> Box<dyn Backing>) -> Self {
        self.backing = wrapper(self.backing);
        self
    }

    fn require_exclusive(&self, operation: &'static str) -> Result<(), Error> {
        match self.mode {
            LeaseMode::Exclusive => Ok(()),
            LeaseMode::Shared => Err(Error::of(operation, &self.id, Problem::Shared)),
        }
    }
}

/// An exclusive lease on whatever is there, for cleaning up.
#[derive(Debug)]
pub struct Salvage {
    id: SandboxId,
    record: Result<Record, Error>,
    backing: Box<dyn Backing>,
}

impl Salvage {
    /// For stores: the place is locked exclusively.
    pub fn new(id: SandboxId, backing: Box<dyn Backing>) -> Self {
        let record = read(&id, backing.as_ref());
        Self {
            id,
            record,
            backing,
        }
    }

    /// The sandbox.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// The record, or why there is none: `NotFound`, `Corrupt`, `Incompatible`.
    pub fn record(&self) -> Result<&Record, &Error> {
        self.record.as_ref()
    }

    /// Where the record is, or should be.
    pub fn path(&self) -> PathBuf {
        self.backing.path()
    }

    /// The sandbox's ledger.
    pub fn ledger(&self) -> Ledger {
        self.backing.ledger()
    }

    /// Puts a decorator around the place, for tests that inject faults.
    #[must_use]
    pub fn wrap(mut self, wrapper: impl FnOnce(Box<dyn Backing>) -> Box<dyn Backing>) -> Self {
        self.backing = wrapper(self.backing);
        self
    }

    /// As [`Lease::remove`].
    pub fn remove(self) -> Result<(), Error> {
        self.backing.remove()
    }
}

/// An error about a file, for the operation on a sandbox.
pub(crate) fn io_error<'a>(
    operation: &'static str,
    id: &'a SandboxId,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| {
        let path = path.to_owned();
        Error::of(operation, id, Problem::Io { path, source })
    }
}
