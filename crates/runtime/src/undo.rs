//! Undoing what a ledger tells of: each entry by the crate that wrote it, in reverse, to the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::Backend;
use virtcontainers_process::Mark;
use virtcontainers_store::Ledger;
use virtcontainers_types::{SandboxId, UndoEntry, UndoSink};

use crate::error::{Context, Error, ErrorKind};
use crate::intent::Numbered;
use crate::paths::{CONSOLE, CONSOLE_OLD, Layout};

/// The owner name of this crate's own entries.
const OWNER: &str = "runtime";
const VERSION: u32 = 1;
/// How long a killed hook has to end.
const HOOK_END: Duration = Duration::from_secs(5);

/// What this crate itself does to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// The machine's directory is made.
    MachineDirectory(PathBuf),
    /// A supervisor process is started.
    Supervisor(Mark),
    /// A hook runs.
    Hook(Mark),
    /// Something is done to the guest. Nothing of it is left on the host.
    Intent(Numbered),
}

impl Effect {
    /// Enters the effect in a ledger.
    pub(crate) fn enter(&self, ledger: &dyn UndoSink) -> Result<(), Error> {
        let entered = self.entry().and_then(|entry| ledger.record(entry));
        entered.map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "cannot write the ledger of the sandbox",
            )
            .because(error)
        })
    }
}

impl Effect {
    /// The effect as an entry of a ledger.
    pub(crate) fn entry(&self) -> std::io::Result<UndoEntry> {
        Ok(UndoEntry {
            owner: OWNER.to_owned(),
            version: VERSION,
            payload: serde_json::to_value(self)?,
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
    /// All but what is kept of a stopped sandbox: the console's log and cgroups.
    Stop,
    /// Everything.
    Delete,
}

/// Undoes what `ledger` tells of, in reverse. Goes on after a failure; everything that could not be
/// undone is in the error. Gives what was undone. Blocking.
pub(crate) fn undo_all(
    ledger: &Ledger,
    backend: &dyn Backend,
    undoer: Undoer,
    extent: Extent,
    deadline: Duration,
) -> Result<Vec<UndoEntry>, Error> {
    let mut failures = Vec::new();
    if undoer == Undoer::Other {
        failures.extend(end_supervisors(&read(ledger)?, deadline));
    }
    // Read after the supervisor's end: it made effects until then.
    let entries = read(ledger)?;
    undo_entries(&entries, backend, extent, failures)?;
    Ok(entries)
}

/// The entries of a ledger.
pub(crate) fn read(ledger: &Ledger) -> Result<Vec<UndoEntry>, Error> {
    let read = ledger
        .entries()
        .during(|| "cannot read the ledger of the sandbox".to_owned())?;
    Ok(read.entries)
}

/// Undoes these entries in reverse, after some others that failed.
fn undo_entries(
    entries: &[UndoEntry],
    backend: &dyn Backend,
    extent: Extent,
    mut failures: Vec<String>,
) -> Result<(), Error> {
    let backwards: Vec<_> = entries.iter().rev().cloned().collect();
    for of_one in backwards.chunk_by(|one, next| one.owner == next.owner) {
        for failure in undo_of_one(of_one, backend, extent) {
            let owner = of_one.first().map(|entry| &*entry.owner);
            tracing::warn!(owner, failure, "cannot undo an effect");
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

/// Undoes entries, if that takes but a few system calls: they tell of nothing that has to end first.
/// `None`: it may take longer, and nothing was done.
pub(crate) fn undo_brief(
    entries: &[UndoEntry],
    backend: &dyn Backend,
    extent: Extent,
) -> Option<Result<(), Error>> {
    let is_cgroup = |entry: &UndoEntry| entry.owner == virtcontainers_cgroup::OWNER;
    let brief = entries
        .iter()
        .all(|entry| is_kept(entry) && !is_cgroup(entry));
    brief.then(|| undo_entries(entries, backend, extent, Vec::new()))
}

/// Undoes one attempt at a boot, and strikes it out: all but what this crate itself did, which the
/// next attempt goes on with. Blocking.
pub(crate) fn undo_boot(ledger: &Ledger, backend: &dyn Backend) -> Result<(), Error> {
    let failed = || "cannot read the ledger of the sandbox".to_owned();
    let mut entries = ledger.entries().during(failed)?.entries;
    // The supervisor goes on in its cgroup.
    entries.retain(|entry| ![OWNER, virtcontainers_cgroup::OWNER].contains(&entry.owner.as_str()));
    undo_entries(&entries, backend, Extent::Stop, Vec::new())
        .during(|| "a failed boot cannot be undone".to_owned())?;
    ledger.forget(&entries).during(failed)
}

/// Ends supervisors, which would go on making effects while others undo them. Gives what failed.
fn end_supervisors(entries: &[UndoEntry], deadline: Duration) -> Vec<String> {
    let marks = entries
        .iter()
        .filter_map(own_effect)
        .filter_map(|effect| match effect {
            Effect::Supervisor(mark) => Some(mark),
            Effect::MachineDirectory(_) | Effect::Hook(_) | Effect::Intent(_) => None,
        });
    let failed = marks.filter_map(|mark| mark.end_all(deadline).err());
    failed.map(text_of).collect()
}

/// Strikes out of a ledger what a stop undid. The machine's directory stays until the delete, and
/// intents until they are settled.
///
/// Errors: `Denied`, `Internal`.
pub(crate) fn forget_stopped(ledger: &Ledger, mut undone: Vec<UndoEntry>) -> Result<(), Error> {
    undone.retain(|entry| !is_kept(entry));
    match undone.is_empty() {
        true => Ok(()),
        false => ledger
            .forget(&undone)
            .during(|| "cannot shorten the ledger of the sandbox".to_owned()),
    }
}

/// Whether a ledger tells of anything that a stop undoes.
pub(crate) fn has_effects(ledger: &Ledger) -> Result<bool, Error> {
    Ok(!read(ledger)?.iter().all(is_kept))
}

/// What a stop leaves in the ledger, and where it is: a cgroup goes with its container.
fn is_kept(entry: &UndoEntry) -> bool {
    entry.owner == virtcontainers_cgroup::OWNER
        || matches!(
            own_effect(entry),
            Some(Effect::MachineDirectory(_) | Effect::Intent(_))
        )
}

/// Whether there is anything for [`clear_directories`] to remove.
pub(crate) fn has_directories(layout: &Layout, id: &SandboxId) -> bool {
    let tree = virtcontainers_share::Tree::remains(layout.root(), id);
    // What cannot be looked at may be there.
    let is_there = |path: &Path| path.try_exists().unwrap_or(true);
    is_there(tree.path()) || is_there(&layout.machine(id))
}

/// Removes the directories that a sandbox has under the state root by their names: for those whose
/// ledger is void. Directories with anything of somebody else in them stay, and are an error.
pub(crate) fn clear_directories(
    layout: &Layout,
    id: &SandboxId,
    extent: Extent,
) -> Result<(), Error> {
    let failed = || format!("cannot remove the directories of sandbox {id}");
    virtcontainers_share::Tree::remains(layout.root(), id)
        .remove()
        .during(failed)?;
    remove_directory(&layout.machine(id), extent)
        .map_err(|error| Error::new(ErrorKind::Internal, failed()).because(error))
}

/// Undoes entries of one owner, in this order. Gives what failed.
fn undo_of_one(entries: &[UndoEntry], backend: &dyn Backend, extent: Extent) -> Vec<String> {
    let owner = entries.first().map(|entry| &*entry.owner);
    if owner == Some(virtcontainers_network::OWNER) {
        // Together they share threads and the kernel's waits.
        let undone = virtcontainers_network::undo_all(entries);
        return undone.map_err(text_of).err().into_iter().collect();
    }
    let undone = entries.iter().map(|entry| undo(entry, backend, extent));
    undone.filter_map(Result::err).collect()
}

fn undo(entry: &UndoEntry, backend: &dyn Backend, extent: Extent) -> Result<(), String> {
    match entry.owner.as_str() {
        OWNER => match own_effect(entry) {
            Some(Effect::MachineDirectory(path)) => {
                remove_directory(&path, extent).map_err(text_of)
            }
            Some(Effect::Hook(mark)) => mark.end_all(HOOK_END).map_err(text_of),
            Some(Effect::Supervisor(_) | Effect::Intent(_)) => Ok(()),
            None => Err(format!(
                "version {} of a runtime entry is not known",
                entry.version
            )),
        },
        virtcontainers_cgroup::OWNER => match extent {
            Extent::Stop => Ok(()),
            Extent::Delete => virtcontainers_cgroup::undo(entry).map_err(text_of),
        },
        virtcontainers_share::OWNER => virtcontainers_share::undo(entry).map_err(text_of),
        owner if owner == backend.name() => backend.undo(entry).map_err(text_of),
        owner => Err(format!(
            "nobody here knows how to undo an effect of {owner}"
        )),
    }
}

pub(crate) fn own_effect(entry: &UndoEntry) -> Option<Effect> {
    let ours = entry.owner == OWNER && entry.version == VERSION;
    ours.then(|| Effect::deserialize(&entry.payload).ok())
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
