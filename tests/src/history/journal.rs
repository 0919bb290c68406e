//! The file that a history is written to, by many processes at once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

use super::{Event, Line};

/// Appends lines. Each is one `write(2)`, so that lines of several processes do not mix.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// The call that this process is at.
    call: Mutex<Option<u64>>,
}

impl Journal {
    /// Opens the journal at `path`, which is made when it does not exist.
    pub fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).open(path);
        Ok(Self {
            file: file.with_context(|| path.display().to_string())?,
            call: Mutex::new(None),
        })
    }

    /// Says which call the lines from now on belong to.
    pub fn enter(&self, call: Option<u64>) {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }

    /// Writes down what has happened since `from`.
    pub fn tell(&self, from: u64, event: Event) -> std::io::Result<()> {
        let line = Line {
            from,
            to: now(),
            process: std::process::id(),
            call: *self.call.lock().unwrap_or_else(PoisonError::into_inner),
            event,
        };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        (&self.file).write_all(&bytes)
    }

    /// All lines of the journal at `path`, in the order in which they were written.
    pub fn read(path: &Path) -> Result<Vec<Line>> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let parse = |line| serde_json::from_str(line).with_context(|| format!("line {line}"));
        text.lines().map(parse).collect()
    }
}

/// The host's monotonic clock in nanoseconds: the same for all processes.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}
