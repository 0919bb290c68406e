//! What is written down before each effect, and how it is taken back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use serde::{Deserialize, Serialize};
use virtcontainers_types::{UndoEntry, UndoSink};

use crate::directory::{hold, is_mount, remove_if_unused};
use crate::effect::Effect;
use crate::namespace::{is_nsfs, open_path};
use crate::revert::revert;
use crate::sysfs::Sysfs;
use crate::{Error, ErrorKind, NamespaceId};

/// The owner of this crate's undo entries.
pub const OWNER: &str = "network";
/// The version of their payload, which is an [`Undo`] as JSON. Version 1 had no changes of links.
pub const VERSION: u32 = 2;

/// The payload of an undo entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Undo {
    /// A directory of namespaces is bound onto itself, and made first if `made`. Undone when it is
    /// empty only.
    Directory {
        /// The directory.
        path: PathBuf,
        /// It did not exist before.
        made: bool,
    },
    /// A namespace is bound at a file that is made for it.
    Namespace {
        /// The file.
        path: PathBuf,
    },
    /// Something is changed in a namespace, to connect a machine.
    Change {
        /// The namespace.
        namespace: NamespaceId,
        /// The change.
        change: Effect,
    },
}

/// Takes back the effect of an entry of [`OWNER`], whether it happened or not. Blocks for a few
/// system calls; safe twice.
///
/// Errors: `Invalid` for somebody else's entry; `Incompatible` and `Corrupt` for one that cannot
/// be read; `Denied`, `Internal`.
pub fn undo(entry: &UndoEntry) -> Result<(), Error> {
    undo_all(std::slice::from_ref(entry))
}

/// Takes back the effects of several entries, in this order, which is to be the reverse of that in
/// which they were entered. Faster than one by one: changes of one namespace that follow each other
/// share a thread. Goes on after a failure.
///
/// Errors: those of [`undo`], the first that there was.
pub fn undo_all(entries: &[UndoEntry]) -> Result<(), Error> {
    undo_all_of(entries, &Sysfs::host())
}

/// As [`undo_all`], with the devices of a sysfs.
pub(crate) fn undo_all_of(entries: &[UndoEntry], sysfs: &Sysfs<'_>) -> Result<(), Error> {
    let mut result = Ok(());
    let mut waiting: Option<(NamespaceId, Vec<Effect>)> = None;
    for entry in entries {
        let effect = match read(entry) {
            Ok(effect) => effect,
            Err(error) => {
                result = result.and(Err(error));
                continue;
            }
        };
        match (effect, &mut waiting) {
            (Undo::Change { namespace, change }, Some((same, changes))) if *same == namespace => {
                changes.push(change);
            }
            (effect, _) => {
                result = result.and(take_back(waiting.take(), sysfs));
                match effect {
                    Undo::Change { namespace, change } => {
                        waiting = Some((namespace, vec![change]));
                    }
                    Undo::Directory { path, made } => {
                        result = result.and(remove_if_unused(&path, made));
                    }
                    Undo::Namespace { path } => result = result.and(remove_namespace(&path)),
                }
            }
        }
    }
    result.and(take_back(waiting, sysfs))
}

fn take_back(changes: Option<(NamespaceId, Vec<Effect>)>, sysfs: &Sysfs<'_>) -> Result<(), Error> {
    changes.map_or(Ok(()), |(namespace, changes)| {
        revert(&namespace, &changes, sysfs)
    })
}

fn read(entry: &UndoEntry) -> Result<Undo, Error> {
    if entry.owner != OWNER {
        let message = format!("an undo entry of {} was given to {OWNER}", entry.owner);
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if !(1..=VERSION).contains(&entry.version) {
        let message = format!(
            "cannot read an undo entry of version {}; use the program that wrote it or a newer one",
            entry.version
        );
        return Err(Error::new(ErrorKind::Incompatible, message));
    }
    Undo::deserialize(&entry.payload).map_err(|source| {
        Error::new(ErrorKind::Corrupt, "cannot read an undo entry").with_source(source)
    })
}

/// Enters an effect; only then it may happen.
pub(crate) fn record(undo: &dyn UndoSink, path: &Path, effect: &Undo) -> Result<(), Error> {
    undo.record(entry_of(effect)?)
        .map_err(|source| Error::system("enter in the undo ledger the effect on", path, source))
}

/// The entry of an effect.
pub(crate) fn entry_of(effect: &Undo) -> Result<UndoEntry, Error> {
    let payload = serde_json::to_value(effect).map_err(|source| {
        Error::new(ErrorKind::Internal, "cannot write an undo entry").with_source(source)
    })?;
    Ok(UndoEntry {
        owner: OWNER.to_owned(),
        version: VERSION,
        payload,
    })
}

fn remove_namespace(path: &Path) -> Result<(), Error> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    let Some(_held) = hold(directory)? else {
        return Ok(());
    };
    loop {
        let file = match open_path(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::system("open", path, error)),
        };
        let failed = |source| Error::system("look at", path, source);
        let is_namespace = is_nsfs(&file).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        drop(file);
        if is_namespace && is_mount(path)? {
            unmount(path)?;
            continue;
        }
        // The file that we made is empty and has nothing mounted on it.
        if !metadata.is_file() || metadata.len() != 0 || is_mount(path)? {
            let message = format!(
                "{} is not the namespace that was made there; it is left alone",
                path.display()
            );
            return Err(Error::new(ErrorKind::WrongState, message));
        }
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::system("remove", path, error))
            }
            Ok(()) | Err(_) => Ok(()),
        };
    }
}

fn unmount(path: &Path) -> Result<(), Error> {
    let plainly = rustix::mount::unmount(path, UnmountFlags::NOFOLLOW);
    let result = match plainly {
        // Somebody has it open by this path; the name goes all the same.
        Err(Errno::BUSY) => {
            rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
        }
        result => result,
    };
    result.map_err(|source| Error::system("unmount", path, source))
}
