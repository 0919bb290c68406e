//! What a backend promises about its undo entries.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use virtcontainers_types::{UndoEntry, UndoSink};

use super::stage::Stage;
use super::{Harness, Promise};
use crate::conformance::ensure;

type Checked = Result<(), String>;

/// More entries than a launch has.
const MOST_ENTRIES: usize = 100;

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "entries-bear-the-name",
        sentence: "Entries have the backend's name as owner, and there is one at least.",
        needs: &[],
        check: |harness| Box::pin(owner(harness)),
    },
    Promise {
        name: "effects-are-entered-first",
        sentence: "Every effect is entered before it happens.",
        needs: &[],
        check: |harness| Box::pin(entered_first(harness)),
    },
    Promise {
        name: "no-effect-without-its-entry",
        sentence: "When an entry cannot be written its effect must not happen.",
        needs: &[],
        check: |harness| Box::pin(refused_entry(harness)),
    },
    Promise {
        name: "an-undo-leaves-nothing",
        sentence: "Another process that undoes the entries leaves nothing of the machine.",
        needs: &[],
        check: |harness| Box::pin(complete(harness)),
    },
    Promise {
        name: "an-undo-is-safe-twice",
        sentence: "Undoing is safe twice.",
        needs: &[],
        check: |harness| Box::pin(twice(harness)),
    },
    Promise {
        name: "an-undo-of-nothing-is-safe",
        sentence: "Undoing is safe when the effect did not happen.",
        needs: &[],
        check: |harness| Box::pin(of_nothing(harness)),
    },
];

async fn owner(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let _launched = stage.launch().await?;
    let entries = stage.ledger.entries();
    let name = stage.backend.name();
    ensure!(!entries.is_empty(), "nothing was entered");
    for entry in entries {
        ensure!(entry.owner == name, "{entry:?} is not of {name}");
    }
    Ok(())
}

/// At each entry we die: another process undoes what was entered before, and then there must be
/// nothing.
async fn entered_first(harness: &dyn Harness) -> Checked {
    for at in 0..MOST_ENTRIES {
        let stage = Stage::new(harness)?;
        let check = |entries: &[UndoEntry]| {
            stage.undo(entries)?;
            stage.nothing_is_left()
        };
        let tripwire = Tripwire::new(at, &check);
        let launched = stage.try_launch(&tripwire).await;
        drop(launched);
        let Some(found) = tripwire.tripped() else {
            return Ok(());
        };
        found.map_err(|left| format!("before entry {} was written: {left}", at + 1))?;
    }
    Err(format!("a launch has more than {MOST_ENTRIES} entries"))
}

async fn refused_entry(harness: &dyn Harness) -> Checked {
    for at in 0..MOST_ENTRIES {
        let stage = Stage::new(harness)?;
        let tripwire = Tripwire::new(at, &|_| Ok(()));
        let launched = stage.try_launch(&tripwire).await;
        if tripwire.tripped().is_none() {
            return Ok(());
        }
        let number = at + 1;
        ensure!(
            launched.is_err(),
            "entry {number} could not be written, and the launch succeeds"
        );
        let left = stage.nothing_is_left();
        left.map_err(|left| format!("entry {number} could not be written: {left}"))?;
    }
    Err(format!("a launch has more than {MOST_ENTRIES} entries"))
}

async fn complete(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    drop(stage.start().await?);
    stage.undo(&stage.ledger.entries())?;
    stage.nothing_is_left()
}

async fn twice(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    drop(stage.start().await?);
    stage.undo(&stage.ledger.entries())?;
    let again = stage.undo(&stage.ledger.entries());
    again.map_err(|error| format!("the second time: {error}"))
}

async fn of_nothing(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    drop(stage.launch().await?);
    let entries = stage.ledger.entries();
    // A directory that was never made, and processes that were never started.
    let elsewhere = Stage::new(harness)?;
    let rename = |text: String| {
        let directory = stage.plan.directory.to_string_lossy().into_owned();
        text.replace(&directory, "/nowhere/at/all")
            .replace(&stage.nonce, &elsewhere.nonce)
    };
    for mut entry in entries {
        let payload = rename(entry.payload.to_string());
        entry.payload = serde_json::from_str(&payload).map_err(|error| error.to_string())?;
        elsewhere.undo(&[entry])?;
    }
    Ok(())
}

type Look<'a> = dyn Fn(&[UndoEntry]) -> Result<(), String> + Send + Sync + 'a;

/// A ledger that cannot be written at one point, and looks around there.
struct Tripwire<'a> {
    at: usize,
    look: &'a Look<'a>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    entries: Vec<UndoEntry>,
    /// What was found at the point, once it was come to.
    found: Option<Checked>,
}

impl<'a> Tripwire<'a> {
    fn new(at: usize, look: &'a Look<'a>) -> Self {
        let seen = Mutex::default();
        Self { at, look, seen }
    }

    fn tripped(&self) -> Option<Checked> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.found.clone()
    }
}

impl fmt::Debug for Tripwire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tripwire({})", self.at)
    }
}

impl UndoSink for Tripwire<'_> {
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.entries.len() == self.at && seen.found.is_none() {
            seen.found = Some((self.look)(&seen.entries));
            return Err(io::Error::other("the ledger is full, says the suite"));
        }
        seen.entries.push(entry);
        Ok(())
    }
}
