//! What is written down before each effect, and how it is taken back.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use virtcontainers_types::{ContainerId, UndoEntry, UndoSink};

use crate::vacate::{remove, remove_if_empty};
use crate::{Error, ErrorKind, scope};

/// The owner of this crate's undo entries.
pub const OWNER: &str = "cgroup";
/// The version of their payload, which is an [`Undo`] as JSON.
pub const VERSION: u32 = 1;

/// How long processes that are dying in a cgroup have to end, and systemd to remove a scope.
const END: Duration = Duration::from_secs(10);

/// The payload of an undo entry, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Undo {
    /// Directories are made that did not exist. Undone with all that is in a container's own.
    Directories {
        /// The container.
        container: ContainerId,
        /// The container's own cgroups, one in each hierarchy.
        leaves: Vec<PathBuf>,
        /// What is above them, the outermost first in each hierarchy. Removed if it is empty.
        parents: Vec<PathBuf>,
    },
    /// A scope of systemd is started.
    Scope {
        /// The container.
        container: ContainerId,
        /// The scope.
        unit: String,
        /// The program that calls systemd.
        busctl: PathBuf,
        /// Where its cgroups are; the first is where systemd keeps track of it.
        directories: Vec<PathBuf>,
    },
}

impl Undo {
    fn container(&self) -> &ContainerId {
        match self {
            Self::Directories { container, .. } | Self::Scope { container, .. } => container,
        }
    }
}

/// Takes back the effect of an entry of [`OWNER`], whether it happened or not. Processes that are
/// still there move to a cgroup above, the caller among them. Blocks, for at most about ten seconds
/// for each hierarchy in which something is dying; safe twice.
///
/// Errors: `Invalid` for somebody else's entry; `Incompatible` and `Corrupt` for one that cannot
/// be read; `Timeout` when something in the cgroup neither moves nor ends; `Denied`; `Internal`.
pub fn undo(entry: &UndoEntry) -> Result<(), Error> {
    if entry.owner != OWNER {
        let message = format!("an undo entry of {} was given to {OWNER}", entry.owner);
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if entry.version != VERSION {
        let message = format!(
            "cannot read an undo entry of version {}; use the program that wrote it or a newer one",
            entry.version
        );
        return Err(Error::new(ErrorKind::Incompatible, message));
    }
    let effect = Undo::deserialize(&entry.payload).map_err(|source| {
        Error::new(ErrorKind::Corrupt, "cannot read an undo entry").with_source(source)
    })?;
    match effect {
        Undo::Directories {
            leaves, parents, ..
        } => remove_directories(&leaves, &parents),
        Undo::Scope {
            unit,
            busctl,
            directories,
            ..
        } => scope::stop(&unit, &busctl, &directories, Instant::now() + END),
    }
}

/// Whether an entry tells of the cgroup of this container.
pub fn is_of_container(entry: &UndoEntry, wanted: &ContainerId) -> bool {
    entry.owner == OWNER
        && entry.version == VERSION
        && Undo::deserialize(&entry.payload).is_ok_and(|effect| effect.container() == wanted)
}

/// Goes on to the end; gives the first failure.
fn remove_directories(leaves: &[PathBuf], parents: &[PathBuf]) -> Result<(), Error> {
    let mut outcome = Ok(());
    for leaf in leaves {
        outcome = outcome.and(remove(leaf, parents, Instant::now() + END));
    }
    for parent in parents.iter().rev() {
        // Somebody else's cgroup in it is no failure: whoever uses it keeps it.
        let removed = remove_if_empty(parent);
        outcome = outcome.and(
            removed
                .map(drop)
                .map_err(|source| Error::system("remove the cgroup", parent, source)),
        );
    }
    outcome
}

/// Enters an effect; only then it may happen.
pub(crate) fn record(undo: &dyn UndoSink, path: &Path, effect: &Undo) -> Result<(), Error> {
    let entered = serde_json::to_value(effect)
        .map_err(io::Error::from)
        .and_then(|payload| {
            undo.record(UndoEntry {
                owner: OWNER.to_owned(),
                version: VERSION,
                payload,
            })
        });
    entered.map_err(|source| {
        let message = format!(
            "cannot enter in the undo ledger the effect on {}",
            path.display()
        );
        Error::new(ErrorKind::Internal, message).with_source(source)
    })
}
