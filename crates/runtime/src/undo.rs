//! Undoing what a ledger tells of: each entry by the crate that wrote it, in reverse, to the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::Backend;
use virtcontainers_process::Mark;
use virtcontainers_store::Ledger;
use virtcontainers_types::{UndoEntry, UndoSink};

use crate::error::{Context, Error, ErrorKind};
use crate::paths::{CONSOLE, CONSOLE_OLD};

/// The owner name of this crate's own entries.
const OWNER: &str = "runtime";
const VERSION: u32 = 1;

/// What this crate itself does to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// The machine's directory is made.
    MachineDirectory(PathBuf),
    /// A supervisor process is started.
    Supervisor(Mark),
}

impl Effect {
    /// Enters the effect in a ledger.
    pub(crate) fn enter(&self, ledger: &dyn UndoSink) -> Result<(), Error> {
        let payload = serde_json::to_value(self);
        let entered = payload.map_err(std::io::Error::from).and_then(|payload| {
            ledger.record(UndoEntry {
                owner: OWNER.to_owned(),
                version: VERSION,
                payload,
            })
        });
        entered.map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "cannot write the ledger of the sandbox",
            )
            .because(error)
        })
    }
}

/// Who undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undoer {
    /// The sandbox's own supervisor: it leaves itself alone.
    Supervisor,
    /// Anybody else: the supervisor goes first, since it acts on the rest.
    Other,
}

/// How much is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All but what is kept of a stopped sandbox: the console's log.
    Stop,
    /// Everything.
    Delete,
}

/// Undoes what `ledger` tells of, in reverse. Goes on after a failure; everything that could not be
/// undone is in the error. Blocking.
pub(crate) fn undo_all(
    ledger: &Ledger,
    backend: &dyn Backend,
    undoer: Undoer,
    extent: Extent,
    deadline: Duration,
) -> Result<(), Error> {
    let read = || {
        let entries = ledger
            .entries()
            .during(|| "cannot read the ledger of the sandbox".to_owned());
        entries.map(|read| read.entries)
    };
    let mut failures = Vec::new();
    if undoer == Undoer::Other {
        failures.extend(end_supervisors(&read()?, deadline));
    }
    // Read after the supervisor's end: it made effects until then.
    let entries = read()?;
    for entry in entries.iter().rev() {
        if let Err(failure) = undo(entry, backend, extent) {
            tracing::warn!(owner = entry.owner, failure, "cannot undo an effect");
            failures.push(failure);
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} effects could not be undone: {}",
        failures.len(),
        failures.join("; ")
    );
    Err(Error::new(ErrorKind::Internal, message))
}

/// Undoes one attempt at a boot, and strikes it out: all but what this crate itself did, which the
/// next attempt goes on with. Blocking.
pub(crate) fn undo_boot(ledger: &Ledger, backend: &dyn Backend) -> Result<(), Error> {
    let failed = || "cannot read the ledger of the sandbox".to_owned();
    let mut entries = ledger.entries().during(failed)?.entries;
    entries.retain(|entry| entry.owner != OWNER);
    for entry in entries.iter().rev() {
        undo(entry, backend, Extent::Stop).map_err(|failure| {
            let message = format!("a failed boot cannot be undone: {failure}");
            Error::new(ErrorKind::Internal, message)
        })?;
    }
    ledger.forget(&entries).during(failed)
}

/// Ends supervisors, which would go on making effects while others undo them. Gives what failed.
fn end_supervisors(entries: &[UndoEntry], deadline: Duration) -> Vec<String> {
    let marks = entries
        .iter()
        .filter_map(own_effect)
        .filter_map(|effect| match effect {
            Effect::Supervisor(mark) => Some(mark),
            Effect::MachineDirectory(_) => None,
        });
    let failed = marks.filter_map(|mark| mark.end_all(deadline).err());
    failed.map(text_of).collect()
}

/// Strikes out of a ledger all that a stop undid. The machine's directory stays until the delete.
///
/// Errors: `Denied`, `Internal`.
pub(crate) fn forget_stopped(ledger: &Ledger) -> Result<(), Error> {
    let failed = || "cannot shorten the ledger of the sandbox".to_owned();
    let mut entries = ledger.entries().during(failed)?.entries;
    entries.retain(|entry| !matches!(own_effect(entry), Some(Effect::MachineDirectory(_))));
    ledger.forget(&entries).during(failed)
}

fn undo(entry: &UndoEntry, backend: &dyn Backend, extent: Extent) -> Result<(), String> {
    match entry.owner.as_str() {
        OWNER => match own_effect(entry) {
            Some(Effect::MachineDirectory(path)) => {
                remove_directory(&path, extent).map_err(text_of)
            }
            Some(Effect::Supervisor(_)) => Ok(()),
            None => Err(format!(
                "version {} of a runtime entry is not known",
                entry.version
            )),
        },
        virtcontainers_share::OWNER => virtcontainers_share::undo(entry).map_err(text_of),
        virtcontainers_network::OWNER => virtcontainers_network::undo(entry).map_err(text_of),
        owner if owner == backend.name() => backend.undo(entry).map_err(text_of),
        owner => Err(format!(
            "nobody here knows how to undo an effect of {owner}"
        )),
    }
}

fn own_effect(entry: &UndoEntry) -> Option<Effect> {
    let ours = entry.owner == OWNER && entry.version == VERSION;
    ours.then(|| serde_json::from_value(entry.payload.clone()).ok())
        .flatten()
}

/// Removes the machine's directory with the plain files and sockets in it; it has no folders.
fn remove_directory(path: &Path, extent: Extent) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let kept = [CONSOLE, CONSOLE_OLD]
            .iter()
            .any(|name| entry.file_name() == *name);
        if !(kept && extent == Extent::Stop) {
            remove_file(&entry.path())?;
        }
    }
    match extent {
        Extent::Stop => Ok(()),
        Extent::Delete => std::fs::remove_dir(path),
    }
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn text_of(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
