//! Places of records that are not what they seem.

use std::path::PathBuf;

use virtcontainers_store::{Backing, BootId, Claim, Error, Lease, Ledger, Record, Store};

/// A place without a lock: it reads what it was given and forgets what is written.
#[derive(Debug)]
pub(super) struct Ghost {
    bytes: Option<Vec<u8>>,
    ledger: Ledger,
    boot: BootId,
}

impl Ghost {
    /// A place that nobody has claimed.
    pub(super) fn empty(ledger: Ledger) -> Self {
        Self {
            bytes: None,
            ledger,
            boot: BootId::new("boot-1"),
        }
    }

    /// A copy of what a lease reads.
    pub(super) fn copy(lease: Lease) -> Self {
        let place = dismantle(lease);
        Self {
            bytes: place.read().ok().flatten(),
            ledger: place.ledger(),
            boot: place.boot().clone(),
        }
    }
}

impl Backing for Ghost {
    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.bytes.clone())
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes = Some(bytes.to_owned());
        Ok(())
    }

    fn remove(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }

    fn abandon(self: Box<Self>) {}

    fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    fn path(&self) -> PathBuf {
        "/nowhere".into()
    }

    fn boot(&self) -> &BootId {
        &self.boot
    }
}

/// The place below a lease, still locked.
pub(super) fn dismantle(lease: Lease) -> Box<dyn Backing> {
    let ghost = Ghost::empty(lease.ledger());
    let mut taken: Option<Box<dyn Backing>> = None;
    let rest = lease.wrap(|place| {
        taken = Some(place);
        Box::new(Ghost::empty(ghost.ledger.clone()))
    });
    drop(rest);
    taken.unwrap_or_else(|| Box::new(ghost))
}

/// A claim on a place, and the place itself once something was stored.
#[derive(Debug)]
pub(super) struct Claimed {
    claim: Option<Claim>,
    place: Option<Box<dyn Backing>>,
    /// What is stored first, before it is overwritten.
    record: Record,
    ledger: Ledger,
    boot: BootId,
    breaks: &'static str,
}

impl Claimed {
    pub(super) fn new(
        claim: Claim,
        record: Record,
        store: &dyn Store,
        breaks: &'static str,
    ) -> Self {
        Self {
            ledger: store.ledger(claim.id()),
            claim: Some(claim),
            place: None,
            record,
            boot: BootId::new("boot-1"),
            breaks,
        }
    }
}

impl Backing for Claimed {
    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        self.place.as_ref().map_or(Ok(None), |place| place.read())
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(claim) = self.claim.take() {
            let lease = claim.commit(self.record.clone())?;
            self.place = Some(dismantle(lease));
        }
        match &mut self.place {
            Some(place) => place.replace(bytes),
            None => Ok(()),
        }
    }

    fn remove(self: Box<Self>) -> Result<(), Error> {
        match (self.breaks, self.place) {
            ("a-removed-sandbox-is-gone", _) | (_, None) => Ok(()),
            (_, Some(place)) => place.remove(),
        }
    }

    fn abandon(mut self: Box<Self>) {
        if self.breaks == "a-dropped-claim-leaves-nothing" {
            std::mem::forget(self.claim.take());
        }
    }

    fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    fn path(&self) -> PathBuf {
        "/nowhere".into()
    }

    fn boot(&self) -> &BootId {
        &self.boot
    }
}
