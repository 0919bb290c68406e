//! What the tests of this crate share.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use virtcontainers_cgroup::{Undo, undo};
use virtcontainers_types::{ContainerId, UndoEntry, UndoSink};

/// A ledger in memory that is full after some entries, and checks that nothing happened before.
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

    pub fn effects(&self) -> Vec<Undo> {
        let entries = self.entries();
        let payloads = entries.into_iter().map(|entry| entry.payload);
        payloads
            .map(|it| serde_json::from_value(it).unwrap())
            .collect()
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
        let (first, second) = match serde_json::from_value(entry.payload.clone()).unwrap() {
            Undo::Directories {
                leaves, parents, ..
            } => (leaves, parents),
            Undo::Scope { directories, .. } => (directories, Vec::new()),
        };
        for path in first.iter().chain(&second) {
            assert!(!path.exists(), "{} was made before", path.display());
        }
        entries.push(entry);
        Ok(())
    }
}

/// A process that does nothing until it is dropped.
#[derive(Debug)]
pub struct Idle(Child);

impl Idle {
    #[expect(clippy::disallowed_methods, reason = "a test's own process")]
    pub fn start() -> Self {
        let mut command = Command::new("cat");
        Self(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
    }

    pub fn wait(&mut self) {
        self.0.wait().unwrap();
    }

    pub fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub fn container(id: &str) -> ContainerId {
    ContainerId::new(id).unwrap()
}

/// A name that no other test and no other run has.
pub fn unique(what: &str) -> String {
    format!("vct{}{what}", std::process::id())
}

pub fn holds(directory: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().any(|line| line == pid.to_string())
}

/// Directories that go when the test ends, if they are still there and empty; the innermost first.
#[derive(Debug, Default)]
pub struct Swept(pub Vec<PathBuf>);

impl Drop for Swept {
    fn drop(&mut self) {
        for path in &self.0 {
            fs::remove_dir(path).ok();
        }
    }
}
