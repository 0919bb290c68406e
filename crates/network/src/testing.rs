//! A network namespace of a test's own, and a ledger in memory.

use std::io;
use std::sync::{Mutex, MutexGuard};

use virtcontainers_types::{UndoEntry, UndoSink};

use crate::thread::inside;
use crate::{Namespace, create_namespace_in, undo_all};

/// A ledger that is full after some entries.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<UndoEntry>>,
    room: usize,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::with_room(usize::MAX)
    }

    pub(crate) fn with_room(room: usize) -> Self {
        let entries = Mutex::default();
        Self { entries, room }
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, Vec<UndoEntry>> {
        self.entries.lock().expect("no test has panicked")
    }

    /// The entries, the last first.
    pub(crate) fn backwards(&self) -> Vec<UndoEntry> {
        self.entries().iter().rev().cloned().collect()
    }
}

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        let mut entries = self.entries();
        if entries.len() == self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        entries.push(entry);
        Ok(())
    }
}

/// A namespace that lives as long as this.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    ledger: Ledger,
    _folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::new();
        let namespace = create_namespace_in(&folder.path().join("netns"), "one", &ledger);
        Self {
            namespace: namespace.expect("a namespace"),
            ledger,
            _folder: folder,
        }
    }

    /// Runs commands, one a line, in the namespace.
    pub(crate) fn run(&self, script: &str) {
        let run = || {
            script.lines().for_each(command);
            Ok(())
        };
        inside(&self.namespace, run).expect("the commands do");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let undone = undo_all(&self.ledger.backwards());
        assert!(undone.is_ok() || std::thread::panicking(), "{undone:?}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the crate starts no programs, but is compared with some"
)]
fn command(line: &str) {
    let mut words = line.split_whitespace();
    let program = words.next().expect("a program");
    let output = std::process::Command::new(program).args(words).output();
    let output = output.expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
}
