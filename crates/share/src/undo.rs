//! What is written down before each effect, and how it is taken back.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtcontainers_process::Mark;
use virtcontainers_types::{ContainerId, UndoEntry, UndoSink};

use crate::tree::{Tree, WRITABLE, remove_directory};
use crate::{Error, ErrorKind};

/// The owner of this crate's undo entries.
pub const OWNER: &str = "share";
/// The version of their payload, which is an [`Undo`] as JSON.
pub const VERSION: u32 = 1;

/// How long a killed daemon has to end: the kernel needs this only to free its memory.
pub(crate) const END: Duration = Duration::from_secs(5);

/// The payload of an undo entry, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Undo {
    /// A tree is made at a path. Undone with everything in it.
    Tree {
        /// The tree's directory.
        path: PathBuf,
    },
    /// A container's directory is made in a tree. Undone if it is empty.
    Container {
        /// The tree's directory.
        tree: PathBuf,
        /// The container.
        container: ContainerId,
    },
    /// Something is bound in a container's directory.
    Mount {
        /// The tree's directory.
        tree: PathBuf,
        /// The container.
        container: ContainerId,
        /// The name in the container's directory.
        name: String,
    },
    /// A unix socket is bound.
    Socket {
        /// The socket.
        path: PathBuf,
    },
    /// A daemon is started.
    Daemon {
        /// What its processes carry.
        mark: Mark,
    },
}

/// Takes back the effect of an entry of [`OWNER`], whether it happened or not. Blocks, for at most
/// five seconds where a process must end; safe twice.
///
/// Errors: `Invalid` for somebody else's entry; `Incompatible` and `Corrupt` for one that cannot
/// be read; `WrongState` when something else is in the place, which is left alone; `Timeout`;
/// `Denied`; `Internal`.
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
        Undo::Tree { path } => Tree::new(path).remove(),
        Undo::Container { tree, container } => {
            remove_directory(&tree.join(WRITABLE).join(container))
        }
        Undo::Mount {
            tree,
            container,
            name,
        } => {
            let name = Path::new(&name);
            let parts: Vec<Component<'_>> = name.components().collect();
            if !matches!(parts[..], [Component::Normal(_)]) {
                let message = format!("{} in an undo entry is not a name", name.display());
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            Tree::new(tree).remove_entry(container.as_ref(), name)
        }
        Undo::Socket { path } => remove_socket(&path),
        Undo::Daemon { mark } => mark
            .end_all(END)
            .map_err(|source| Error::process(source, "end the file system daemon")),
    }
}

/// Whether an entry tells of what was shared for this container, and of nothing else.
pub fn is_of_container(entry: &UndoEntry, wanted: &ContainerId) -> bool {
    if entry.owner != OWNER || entry.version != VERSION {
        return false;
    }
    match Undo::deserialize(&entry.payload) {
        Ok(Undo::Container { container, .. } | Undo::Mount { container, .. }) => {
            container == *wanted
        }
        Ok(Undo::Tree { .. } | Undo::Socket { .. } | Undo::Daemon { .. }) | Err(_) => false,
    }
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
    entered.map_err(|source| Error::system("enter in the undo ledger the effect on", path, source))
}

fn remove_socket(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            let message = format!("{} is not a socket; it is left alone", path.display());
            return Err(Error::new(ErrorKind::WrongState, message));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::system("look at", path, source)),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::system("remove", path, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
