//! What is written down before the effects of a machine that is a process, and taken back.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtcontainers_hypervisor::{Error, ErrorKind};
use virtcontainers_process::Mark;
use virtcontainers_types::{UndoEntry, UndoSink};

use super::NAME;
use super::directory::MachineDirectory;

const VERSION: u32 = 1;
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// An effect that may have happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub(super) enum Effect {
    Sockets { directory: PathBuf },
    Process { mark: Mark },
}

impl Effect {
    pub(super) fn record(&self, sink: &dyn UndoSink) -> Result<(), Error> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Internal, "cannot write an undo entry").with_source(error)
        };
        let payload = serde_json::to_value(self).map_err(|error| failed(error.into()))?;
        let entry = UndoEntry {
            owner: NAME.to_owned(),
            version: VERSION,
            payload,
        };
        sink.record(entry).map_err(failed)
    }

    pub(super) fn of(entry: &UndoEntry) -> Result<Self, Error> {
        if entry.owner != NAME || entry.version != VERSION {
            let message = format!("an undo entry of {} is not ours to undo", entry.owner);
            return Err(Error::new(ErrorKind::Incompatible, message));
        }
        serde_json::from_value(entry.payload.clone()).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "cannot read an undo entry").with_source(error)
        })
    }

    /// Blocks.
    pub(super) fn undo(self) -> Result<(), Error> {
        match self {
            Self::Process { mark } => mark.end_all(KILL_DEADLINE).map_err(|error| {
                let message = format!("cannot end {}", mark.tag);
                Error::new(ErrorKind::Internal, message).with_source(error)
            }),
            Self::Sockets { directory } => {
                match MachineDirectory::open(&directory).and_then(|found| found.remove_sockets()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        let message = format!("cannot remove sockets in {}", directory.display());
                        Err(Error::new(ErrorKind::Internal, message).with_source(error))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}
