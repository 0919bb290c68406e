//! What was logged around a sandbox: the guest's console, and what its supervisor said. As it is, and
//! as it comes.

mod tail;
mod time;

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use virtcontainers_runtime::ErrorKind;
use virtcontainers_types::SandboxId;

use crate::{Config, Error, sys};
use tail::Tail;

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// The guest's kernel and agent, on its console. What it says is not trusted.
    Console,
    /// The process that watches the sandbox on the host.
    Supervisor,
}

impl LogSource {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Supervisor => "supervisor",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Who said it.
    pub source: LogSource,
    /// The line without its end, as it was written.
    pub text: Vec<u8>,
}

/// Reads what was logged around one sandbox. The console is kept in two files of bounded size; a
/// reader that is slower than the guest misses what lies between.
#[derive(Debug)]
pub struct Logs {
    changes: AsyncFd<OwnedFd>,
    tails: Vec<Tail>,
}

impl Logs {
    /// Opens the logs of a sandbox, which exists or existed. Call it within an async executor.
    ///
    /// Errors: `NotFound` when nothing was ever logged, or it was removed with the sandbox.
    pub fn open(config: &Config, id: &SandboxId, sources: &[LogSource]) -> Result<Self, Error> {
        let directory = config.runtime.root.join("machines").join(id);
        Self::in_directory(&directory, sources).map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Internal,
            };
            Error::new(kind, format!("cannot read the logs of sandbox {id}")).because(error)
        })
    }

    fn in_directory(directory: &Path, sources: &[LogSource]) -> std::io::Result<Self> {
        // The directory is watched and not its files, which are exchanged.
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::ONLYDIR;
        inotify::add_watch(&watch, directory, events)?;
        Ok(Self {
            changes: sys::watch_readable(watch)?,
            tails: sources
                .iter()
                .map(|source| Tail::new(directory, *source))
                .collect(),
        })
    }

    /// The lines that are new since the last call; at first all that are kept. They are in the order
    /// of their time as far as it is known: a supervisor's lines have one, those of a guest's kernel
    /// have one since its boot, and what has none follows what was before it.
    ///
    /// A line that is not complete yet is kept for the next call. Blocks for the reads of some files.
    ///
    /// Errors: `Internal` when a file cannot be read.
    pub fn read(&mut self) -> Result<Vec<LogLine>, Error> {
        let mut sources = Vec::with_capacity(self.tails.len());
        for tail in &mut self.tails {
            sources.push(tail.read().map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot read a log").because(error)
            })?);
        }
        Ok(time::merge(sources))
    }

    /// The last lines, which were never completed.
    pub fn rest(&mut self) -> Vec<LogLine> {
        self.tails.iter_mut().filter_map(Tail::rest).collect()
    }

    /// Waits until there may be something new. Safe to drop.
    ///
    /// Errors: `Internal` when the host does not tell of changes any more.
    pub async fn changed(&mut self) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Internal, "cannot wait for a log to grow").because(error)
        };
        loop {
            let mut ready = self.changes.readable().await.map_err(failed)?;
            // What happened does not matter: all tails look for themselves.
            let mut events = [0; 4096];
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut events)?)) {
                Ok(read) => return read.map(drop).map_err(failed),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
