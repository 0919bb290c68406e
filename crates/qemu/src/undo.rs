//! What this crate writes down before its effects, and how it takes them back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::{Error, ErrorKind};
use virtcontainers_process::Mark;
use virtcontainers_types::{UndoEntry, UndoSink};

use crate::directory::MachineDirectory;
use crate::error::{of_process, of_system};

/// The owner of our entries: the backend's name.
pub(crate) const OWNER: &str = "qemu";
/// The version of [`Effect`]. Entries of every version that was ever written are understood.
const VERSION: u32 = 1;
/// How long killed processes may take to vanish; the kernel needs it to free their memory.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// An effect that may have happened.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// Sockets in a machine's directory.
    Sockets {
        /// The directory.
        directory: PathBuf,
    },
    /// A process.
    Process {
        /// What it carries.
        mark: Mark,
    },
}

impl Effect {
    pub(crate) fn sockets(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self::Sockets { directory }
    }

    /// Writes the effect down; only then may it happen.
    pub(crate) fn record(&self, sink: &dyn UndoSink) -> Result<(), Error> {
        let payload = serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot write an undo entry").with_source(error)
        })?;
        let entry = UndoEntry {
            owner: OWNER.to_owned(),
            version: VERSION,
            payload,
        };
        sink.record(entry)
            .map_err(|error| of_system("cannot write an undo entry", error))
    }

    /// Reads an entry.
    pub(crate) fn of(entry: &UndoEntry) -> Result<Self, Error> {
        if entry.owner != OWNER || entry.version != VERSION {
            let message = format!(
                "an undo entry of {} in version {} is not ours to undo",
                entry.owner, entry.version
            );
            return Err(Error::new(ErrorKind::Incompatible, message));
        }
        serde_json::from_value(entry.payload.clone()).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "cannot read an undo entry of qemu").with_source(error)
        })
    }

    /// Takes the effect back, whether it happened or not. Blocks.
    pub(crate) fn undo(self) -> Result<(), Error> {
        match self {
            Self::Process { mark } => mark
                .end_all(KILL_DEADLINE)
                .map_err(|error| of_process(format!("cannot end {}", mark.tag), error)),
            Self::Sockets { directory } => {
                let removed = MachineDirectory::open(&directory).and_then(|d| d.remove_sockets());
                match removed {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        let message = format!("cannot remove sockets in {}", directory.display());
                        Err(of_system(message, error))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_version_1_stay_readable() {
        let rows = [
            (
                r#"{"effect":"process","mark":{"nonce":"n","tag":"qemu"}}"#,
                Effect::Process {
                    mark: Mark::new("n", "qemu"),
                },
            ),
            (
                r#"{"effect":"sockets","directory":"/run/vc/a"}"#,
                Effect::sockets(Path::new("/run/vc/a")),
            ),
        ];
        for (text, expected) in rows {
            let entry = UndoEntry {
                owner: "qemu".to_owned(),
                version: 1,
                payload: serde_json::from_str(text).expect("JSON"),
            };
            assert_eq!(Effect::of(&entry).ok(), Some(expected));
            let foreign = UndoEntry {
                version: 2,
                ..entry
            };
            let refused = Effect::of(&foreign).map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::Incompatible));
        }
    }

    #[test]
    fn what_never_happened_is_undone_without_complaint() {
        let missing = Effect::sockets(Path::new("/no/such/directory"));
        missing.undo().expect("there is nothing to remove");
        let mark = Mark::new("a nonce that nobody has", "qemu");
        Effect::Process { mark }
            .undo()
            .expect("there is nothing to end");
    }
}
