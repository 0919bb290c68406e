//! What the tests of this crate share.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(unsafe_code, reason = "unshare(2) has no safe wrapper")]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;
use virtcontainers_share::undo;
use virtcontainers_types::{ContainerId, SandboxId, UndoEntry, UndoSink};

/// A ledger in memory that is full after some entries.
#[derive(Debug)]
pub struct Ledger {
    entries: Mutex<Vec<UndoEntry>>,
    room: usize,
}

impl Ledger {
    pub fn new() -> Self {
        Self::with_room(usize::MAX)
    }

    pub fn with_room(room: usize) -> Self {
        let entries = Mutex::default();
        Self { entries, room }
    }

    pub fn entries(&self) -> Vec<UndoEntry> {
        self.entries.lock().unwrap().clone()
    }

    pub fn undo(&self) {
        for entry in self.entries().iter().rev() {
            undo(entry).unwrap();
        }
    }
}

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        let mut entries = self.entries.lock().unwrap();
        if entries.len() == self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        entries.push(entry);
        Ok(())
    }
}

/// The mounts at and below a directory, which nobody else knows of.
pub fn mounts(directory: &Path) -> Vec<String> {
    let mut mounts = mounts_of("/proc/thread-self");
    let directory = directory.to_str().unwrap();
    mounts.retain(|line| line.contains(directory));
    mounts
}

pub fn mounts_of(process: &str) -> Vec<String> {
    let table = fs::read_to_string(format!("{process}/mountinfo")).unwrap();
    table.lines().map(str::to_owned).collect()
}

/// Moves the calling thread into a copy of its mount namespace.
pub fn unshare_mounts() {
    // SAFETY: a mount namespace of its own changes nothing that Rust's guarantees rest on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
}

/// Runs a test on a thread in a mount namespace of its own, once with `/` shared and once with it
/// private, with a directory of its own, of which it must leave nothing mounted.
pub fn isolated(test: fn(&Path)) {
    for propagation in [
        MountPropagationFlags::PRIVATE,
        MountPropagationFlags::SHARED,
    ] {
        let run = move || {
            unshare_mounts();
            let all = MountPropagationFlags::REC;
            rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | all).unwrap();
            rustix::mount::mount_change("/", propagation | all).unwrap();
            let directory = tempfile::tempdir().unwrap();
            test(directory.path());
            assert_eq!(mounts(directory.path()), [""; 0]);
            let left = directory.path().join("root/shares");
            assert_eq!(fs::read_dir(left).map_or(0, Iterator::count), 0);
            directory.path().to_owned()
        };
        let directory = std::thread::spawn(run).join().unwrap();
        assert_eq!(mounts(&directory), [""; 0]);
    }
}

pub fn sandbox() -> SandboxId {
    SandboxId::new("s").unwrap()
}

pub fn container(id: &str) -> ContainerId {
    ContainerId::new(id).unwrap()
}
