//! Undo entries: what an effect writes down *before* it happens, so that any later process can
//! take it back.

use serde::{Deserialize, Serialize};

/// One effect that may have happened. Undoing it is safe whether it happened or not, and safe twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UndoEntry {
    /// The crate that knows how to undo it: `share`, `network`, `qemu`, …
    pub owner: String,
    /// The version of the payload's format; the owner reads all versions it ever wrote.
    pub version: u32,
    /// What the owner needs to undo the effect; opaque to everybody else.
    pub payload: serde_json::Value,
}

/// Where effects write their undo entries. The call returns when the entry would survive the death
/// of the calling process; the effect may then happen.
pub trait UndoSink: Send + Sync + std::fmt::Debug {
    /// Writes one entry. On an error the effect must not happen.
    fn record(&self, entry: UndoEntry) -> std::io::Result<()>;
}
