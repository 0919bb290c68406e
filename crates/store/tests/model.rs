//! Random sequences of operations, with leases held meanwhile and reboots between, against a model
//! that is simple enough to be seen to be right. A failure prints the seed of its sequence; with
//! that in `VC_STORE_SEED` the sequence is repeated.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use common::{entry, id, record};
use virtcontainers_store::{
    BootId, Claim, ErrorKind, FileStore, Lease, LeaseMode, MemoryStore, Record, Salvage, Store,
};
use virtcontainers_types::{SandboxId, SandboxState, UndoSink};

const NAMES: [&str; 3] = ["a", "b.c", "d-1"];
const SEQUENCES: u64 = 60;
const STEPS: usize = 200;

/// A generator of numbers: the increments and multipliers of SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// What was stored last.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    generation: u64,
    boot: u64,
    payload: u64,
    state: SandboxState,
    containers: usize,
}

/// What the model knows of an id that is in use.
#[derive(Debug, Default)]
struct Known {
    record: Option<Stored>,
    /// Boot and number of each entry.
    ledger: Vec<(u64, u64)>,
}

#[derive(Debug)]
enum Held {
    Claim(Claim),
    Lease(Lease),
    Salvage(Salvage),
}

struct World<'a> {
    random: Random,
    boot: u64,
    store: Box<dyn Store>,
    reopen: &'a dyn Fn(BootId) -> Box<dyn Store>,
    known: BTreeMap<SandboxId, Known>,
    held: Vec<(SandboxId, Held)>,
}

impl World<'_> {
    fn step(&mut self) {
        let id = id(NAMES[self.random.below(NAMES.len() as u64) as usize]);
        match self.random.below(20) {
            0..=2 => self.create(&id),
            3..=5 => self.open(&id),
            6 => self.salvage(&id),
            7..=12 => self.use_what_is_held(),
            13 => self.look(&id),
            14..=18 => self.write_in_the_ledger(&id),
            _ if self.random.below(10) == 0 => self.reboot(),
            _ => drop(self.store.sweep().unwrap()),
        }
        self.compare();
    }

    /// Whether somebody has the lock in a way that excludes `mode`.
    fn is_locked_for(&self, id: &SandboxId, mode: LeaseMode) -> bool {
        let mut holders = self.held.iter().filter(|(held, _)| held == id);
        holders.any(|(_, held)| {
            let shared = matches!(held, Held::Lease(lease) if lease.mode() == LeaseMode::Shared);
            !(shared && mode == LeaseMode::Shared)
        })
    }

    fn create(&mut self, id: &SandboxId) {
        let in_use = self
            .known
            .get(id)
            .is_some_and(|known| known.record.is_some())
            || self.is_locked_for(id, LeaseMode::Exclusive);
        match self.store.create(id, "create", Duration::ZERO) {
            Ok(claim) => {
                assert!(!in_use, "{id} was created twice");
                self.known.entry(id.clone()).or_default();
                self.held.push((id.clone(), Held::Claim(claim)));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
                assert!(in_use, "{error}");
            }
        }
    }

    /// What a lock of an id ends with, if not with the lock.
    fn refusal(&self, id: &SandboxId, mode: LeaseMode) -> Option<ErrorKind> {
        if !self.known.contains_key(id) {
            return Some(ErrorKind::NotFound);
        }
        self.is_locked_for(id, mode).then_some(ErrorKind::Busy)
    }

    fn open(&mut self, id: &SandboxId) {
        let mode = match self.random.coin() {
            true => LeaseMode::Shared,
            false => LeaseMode::Exclusive,
        };
        let stored = self.known.get(id).and_then(|known| known.record.clone());
        let refusal = self
            .refusal(id, mode)
            .or_else(|| stored.is_none().then_some(ErrorKind::NotFound));
        match self.store.open(id, mode, "open", Duration::ZERO) {
            Ok(lease) => {
                assert_eq!(refusal, None, "{id} was opened");
                assert_eq!(self.seen(lease.record()), stored.unwrap());
                self.held.push((id.clone(), Held::Lease(lease)));
            }
            Err(error) => {
                assert_eq!(Some(error.kind()), refusal, "{error}");
                assert_eq!(error.holder().is_some(), error.kind() == ErrorKind::Busy);
            }
        }
    }

    fn salvage(&mut self, id: &SandboxId) {
        let refusal = self.refusal(id, LeaseMode::Exclusive);
        match self.store.salvage(id, "gc", Duration::ZERO) {
            Ok(salvage) => {
                assert_eq!(refusal, None, "{id} was salvaged");
                let found = salvage.record().map(|record| self.seen(record));
                let kind = found.as_ref().map_err(|error| error.kind());
                let expected = self.known[id].record.as_ref();
                assert_eq!(kind, expected.ok_or(ErrorKind::NotFound));
                self.held.push((id.clone(), Held::Salvage(salvage)));
            }
            Err(error) => assert_eq!(Some(error.kind()), refusal, "{error}"),
        }
    }

    fn use_what_is_held(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let index = self.random.below(self.held.len() as u64) as usize;
        let (id, held) = self.held.swap_remove(index);
        let action = self.random.below(5);
        match (held, action) {
            (Held::Claim(claim), 0) => {
                drop(claim);
                self.abandoned(&id);
            }
            (Held::Claim(claim), 1) => {
                let other = common::id("other");
                let error = claim.commit(record(&other)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid);
                self.abandoned(&id);
            }
            (Held::Claim(claim), _) => {
                let lease = claim.commit(self.changed(record(&id))).unwrap();
                self.stored(&id, 1, &lease);
                self.held.push((id, Held::Lease(lease)));
            }
            (Held::Lease(lease), 0) => drop(lease),
            (Held::Lease(lease), 1) => {
                let exclusive = lease.mode() == LeaseMode::Exclusive;
                let result = lease.remove().map_err(|error| error.kind());
                match exclusive {
                    true => {
                        assert_eq!(result, Ok(()));
                        self.known.remove(&id);
                    }
                    false => assert_eq!(result, Err(ErrorKind::WrongState)),
                }
            }
            (Held::Lease(lease), _) => self.commit(id, lease),
            (Held::Salvage(salvage), 0..=2) => {
                salvage.remove().unwrap();
                self.known.remove(&id);
            }
            (Held::Salvage(salvage), _) => drop(salvage),
        }
    }

    /// A claim ended without a record: the id is free, unless the ledger tells of effects.
    fn abandoned(&mut self, id: &SandboxId) {
        if self.known[id].ledger.is_empty() {
            self.known.remove(id);
        }
    }

    fn commit(&mut self, id: SandboxId, mut lease: Lease) {
        let before = lease.record().generation();
        let stale = lease.record().clone();
        let changed = self.changed(stale.clone());
        let result = lease.commit(changed).map_err(|error| error.kind());
        match lease.mode() {
            LeaseMode::Shared => assert_eq!(result, Err(ErrorKind::WrongState)),
            LeaseMode::Exclusive => {
                assert_eq!(result, Ok(()));
                self.stored(&id, before + 1, &lease);
                let error = lease.commit(stale).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
            }
        }
        let held = self.seen(lease.record());
        assert_eq!(self.seen(lease.reload().unwrap()), held);
        self.held.push((id, Held::Lease(lease)));
    }

    fn changed(&mut self, mut record: Record) -> Record {
        record.created_at = self.random.next();
        record.state = SandboxState::ALL[self.random.below(7) as usize];
        match (self.random.below(3), record.containers.last().cloned()) {
            (0, Some(last)) if record.containers.len() < 5 => record.containers.push(last),
            (1, _) => drop(record.containers.pop()),
            _ => {}
        }
        record
    }

    fn stored(&mut self, id: &SandboxId, generation: u64, lease: &Lease) {
        assert_eq!(lease.mode(), LeaseMode::Exclusive);
        let stored = self.seen(lease.record());
        assert_eq!((stored.generation, stored.boot), (generation, self.boot));
        self.known.get_mut(id).unwrap().record = Some(stored);
    }

    /// A record as the model keeps it. Of an earlier boot nothing but that is told.
    fn seen(&self, record: &Record) -> Stored {
        let known = self
            .known
            .get(record.id())
            .and_then(|known| known.record.as_ref());
        Stored {
            generation: record.generation(),
            boot: match record.is_of_this_boot() {
                true => self.boot,
                false => known
                    .map(|known| known.boot)
                    .filter(|boot| *boot < self.boot)
                    .unwrap(),
            },
            payload: record.created_at,
            state: record.state,
            containers: record.containers.len(),
        }
    }

    fn look(&mut self, id: &SandboxId) {
        let stored = self.known.get(id).and_then(|known| known.record.as_ref());
        match self.store.peek(id) {
            Ok(summary) => {
                let stored = stored.expect("a record");
                assert_eq!(summary.generation(), stored.generation);
                assert_eq!(summary.is_of_this_boot(), stored.boot == self.boot);
                assert_eq!(summary.created_at, stored.payload);
                assert_eq!(summary.state, stored.state);
                assert_eq!(summary.containers.len(), stored.containers);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                assert_eq!(stored, None);
            }
        }
    }

    fn write_in_the_ledger(&mut self, id: &SandboxId) {
        let ledger = self.store.ledger(id);
        let number = self.random.below(4);
        let Some(known) = self.known.get_mut(id) else {
            ledger.record(entry(number)).unwrap_err();
            assert_eq!(ledger.entries().unwrap().entries, []);
            return;
        };
        match self.random.below(8) {
            0 => {
                ledger.clear().unwrap();
                known.ledger.clear();
            }
            1 => {
                ledger.forget(&[entry(number), entry(99)]).unwrap();
                known.ledger.retain(|(boot, _)| *boot == self.boot);
                let first = known.ledger.iter().position(|(_, one)| *one == number);
                first.map(|index| known.ledger.remove(index));
            }
            _ => {
                ledger.record(entry(number)).unwrap();
                known.ledger.push((self.boot, number));
            }
        }
    }

    /// The host dies with all processes that held something.
    fn reboot(&mut self) {
        for (id, held) in std::mem::take(&mut self.held) {
            if let Held::Claim(claim) = held {
                drop(claim);
                self.abandoned(&id);
            }
        }
        self.boot += 1;
        self.store = (self.reopen)(BootId::new(self.boot.to_string()));
    }

    fn compare(&mut self) {
        let listed = self.store.list().unwrap();
        let listed: Vec<_> = listed.into_iter().map(Result::unwrap).collect();
        assert_eq!(listed, self.known.keys().cloned().collect::<Vec<_>>());
        for name in NAMES {
            self.look(&id(name));
        }
        for (id, known) in &self.known {
            let found = self.store.ledger(id).entries().unwrap();
            let ours = known.ledger.iter().filter(|(boot, _)| *boot == self.boot);
            let ours: Vec<_> = ours.map(|(_, number)| entry(*number)).collect();
            assert_eq!(found.entries, ours);
            assert_eq!((found.torn, found.foreign), (0, 0));
        }
    }
}

fn run(seed: u64, reopen: &dyn Fn(BootId) -> Box<dyn Store>) {
    println!("VC_STORE_SEED={seed}");
    let mut world = World {
        random: Random(seed),
        boot: 0,
        store: reopen(BootId::new("0")),
        reopen,
        known: BTreeMap::new(),
        held: Vec::new(),
    };
    for _ in 0..STEPS {
        world.step();
    }
    world.reboot();
    for id in std::mem::take(&mut world.known).into_keys() {
        world
            .store
            .salvage(&id, "gc", Duration::ZERO)
            .unwrap()
            .remove()
            .unwrap();
    }
    world.store.sweep().unwrap();
    world.compare();
}

fn seeds() -> Vec<u64> {
    match std::env::var("VC_STORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => {
            let first = RandomState::new().hash_one("seed");
            (0..SEQUENCES)
                .map(|number| first.wrapping_add(number))
                .collect()
        }
    }
}

#[test]
fn files_are_as_the_model_says() {
    for seed in seeds() {
        let root = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        run(seed, &|boot| Box::new(FileStore::new(root.path(), boot)));
        for directory in ["sandboxes", "locks"] {
            // Made with the first sandbox.
            let left = std::fs::read_dir(root.path().join(directory)).unwrap();
            assert_eq!(left.count(), 0);
        }
    }
}

#[test]
fn memory_is_as_the_model_says() {
    for seed in seeds() {
        let store = MemoryStore::new(BootId::new("0"));
        run(seed, &|boot| Box::new(store.rebooted(boot)));
    }
}
