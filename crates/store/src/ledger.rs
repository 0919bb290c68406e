//! The undo ledger: one line for each effect, written before the effect happens.
//!
//! A line bears the boot that it belongs to; after a reboot there is nothing to undo. It begins
//! with a line feed as well as ending with one, so that a line that was torn by a full disk or by
//! the death of its writer damages only itself: the effect it announces has not happened.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{SandboxId, UndoEntry, UndoSink};

use crate::error::Problem;
use crate::{BootId, Error, FileStore, Store};

/// Where a ledger's lines are. Implemented by stores, and by decorators around theirs.
pub trait Lines: Send + Sync + Debug {
    /// Adds bytes at the end, all or as good as none, beside other appenders.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// All bytes; empty when there are none.
    fn read(&self) -> io::Result<Vec<u8>>;
    /// Replaces all bytes with what `edit` makes of them, while nobody appends.
    fn rewrite(&self, edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> io::Result<()>;
    /// Where, for messages.
    fn path(&self) -> &Path;
}

/// The undo entries of one sandbox. Any process may append, with or without a lease.
#[derive(Debug, Clone)]
pub struct Ledger {
    id: SandboxId,
    boot: BootId,
    lines: Arc<dyn Lines>,
}

/// What a ledger holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entries {
    /// The entries of this boot in the order in which they were written. Undo them from the last
    /// to the first.
    pub entries: Vec<UndoEntry>,
    /// How many lines were torn while they were written. Their effects have not happened.
    pub torn: usize,
    /// How many lines are something else altogether: the file was tampered with or damaged.
    pub foreign: usize,
}

#[derive(Serialize)]
struct LineRef<'a> {
    boot: &'a BootId,
    #[serde(flatten)]
    entry: &'a UndoEntry,
}

#[derive(Deserialize)]
struct Line {
    boot: BootId,
    owner: String,
    version: u32,
    payload: serde_json::Value,
}

enum Parsed {
    Ours(UndoEntry),
    EarlierBoot,
    Torn,
    Foreign,
}

impl Ledger {
    /// The ledger of a sandbox in the file store at `root`, for a process that needs nothing else
    /// of the store.
    ///
    /// Errors: `Internal` when the host does not tell its boot id.
    pub fn open(root: &Path, id: &SandboxId) -> Result<Self, Error> {
        Ok(FileStore::new(root, BootId::current()?).ledger(id))
    }

    pub(crate) fn new(id: SandboxId, boot: BootId, lines: Arc<dyn Lines>) -> Self {
        Self { id, boot, lines }
    }

    /// Puts a decorator around the lines, for tests that inject faults.
    #[must_use]
    pub fn wrap(mut self, wrapper: impl FnOnce(Arc<dyn Lines>) -> Arc<dyn Lines>) -> Self {
        self.lines = wrapper(self.lines);
        self
    }

    /// Reads the entries.
    ///
    /// Errors: `Denied`, `Internal`. A sandbox without a ledger has no entries.
    pub fn entries(&self) -> Result<Entries, Error> {
        let bytes = self
            .lines
            .read()
            .map_err(self.error("read the ledger of"))?;
        let mut found = Entries::default();
        for line in split(&bytes) {
            match self.parse(line) {
                Parsed::Ours(entry) => found.entries.push(entry),
                Parsed::EarlierBoot => {}
                Parsed::Torn => found.torn += 1,
                Parsed::Foreign => found.foreign += 1,
            }
        }
        Ok(found)
    }

    /// Strikes out entries that were undone, each once, and what is of no use any more (torn lines,
    /// lines of an earlier boot). Safe beside appenders; after a crash the old or the new ledger
    /// is there.
    ///
    /// Errors: `Denied`, `Internal`.
    pub fn forget(&self, undone: &[UndoEntry]) -> Result<(), Error> {
        let edit = &mut |bytes: &[u8]| {
            let mut undone: Vec<&UndoEntry> = undone.iter().collect();
            let mut kept = Vec::with_capacity(bytes.len());
            for line in split(bytes) {
                let keep = match self.parse(line) {
                    Parsed::Ours(entry) => match undone.iter().position(|one| **one == entry) {
                        Some(index) => {
                            undone.swap_remove(index);
                            false
                        }
                        None => true,
                    },
                    Parsed::Foreign => true,
                    Parsed::EarlierBoot | Parsed::Torn => false,
                };
                if keep {
                    kept.push(b'\n');
                    kept.extend_from_slice(line);
                    kept.push(b'\n');
                }
            }
            kept
        };
        self.lines
            .rewrite(edit)
            .map_err(self.error("shorten the ledger of"))
    }

    /// Strikes out everything.
    ///
    /// Errors: `Denied`, `Internal`.
    pub fn clear(&self) -> Result<(), Error> {
        self.lines
            .rewrite(&mut |_| Vec::new())
            .map_err(self.error("clear the ledger of"))
    }

    fn parse(&self, line: &[u8]) -> Parsed {
        match serde_json::from_slice::<Line>(line) {
            Ok(line) if line.boot == self.boot => Parsed::Ours(UndoEntry {
                owner: line.owner,
                version: line.version,
                payload: line.payload,
            }),
            Ok(_) => Parsed::EarlierBoot,
            Err(error) if error.is_eof() => Parsed::Torn,
            Err(_) => Parsed::Foreign,
        }
    }

    fn error(&self, operation: &'static str) -> impl FnOnce(io::Error) -> Error + '_ {
        move |source| {
            let path = self.lines.path().to_owned();
            Error::of(operation, &self.id, Problem::Io { path, source })
        }
    }
}

fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

impl UndoSink for Ledger {
    /// One `write(2)`, without a sync: the entry survives this process, not the host, and neither
    /// does the effect.
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        let line = LineRef {
            boot: &self.boot,
            entry: &entry,
        };
        let mut bytes = vec![b'\n'];
        serde_json::to_writer(&mut bytes, &line)?;
        bytes.push(b'\n');
        self.lines.append(&bytes)
    }
}
