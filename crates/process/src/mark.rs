//! The mark that a process carries, so that it is found again when its pid was never recorded.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::procfs;
use crate::{Error, ErrorKind, Identity, kill_and_wait};

/// The environment variable with the nonce of whatever the process belongs to.
pub const NONCE_VARIABLE: &str = "VC_NONCE";
/// The environment variable with the role of the process.
pub const TAG_VARIABLE: &str = "VC_TAG";

/// What to write down *before* a process is started, and what the process then carries in its
/// environment. It is the payload of an undo entry: [`end_all`](Self::end_all) undoes the spawn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// Shared by all processes that belong together; unguessable enough not to repeat.
    pub nonce: String,
    /// Which of them: `qemu`, `virtiofsd`.
    pub tag: String,
}

impl Mark {
    /// A mark of these two parts. Neither may hold a zero byte.
    pub fn new(nonce: impl Into<String>, tag: impl Into<String>) -> Self {
        Self {
            nonce: nonce.into(),
            tag: tag.into(),
        }
    }

    /// The living processes that carry this mark, our own process left out.
    ///
    /// Errors: `Internal` when `/proc` cannot be read.
    pub fn find(&self) -> Result<Vec<Identity>, Error> {
        find(|environment| self.is_carried_by(environment))
    }

    /// Kills every process that carries this mark, their children with the same mark too, and
    /// blocks until all have ended. Succeeds when there is none: safe twice.
    ///
    /// Errors: `Timeout`, `Denied`, `Internal`.
    pub fn end_all(&self, deadline: Duration) -> Result<(), Error> {
        let end = Instant::now() + deadline;
        loop {
            let carriers = self.find()?;
            if carriers.is_empty() {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = format!(
                    "{} processes of {} appear faster than they can be killed",
                    carriers.len(),
                    self.tag
                );
                return Err(Error::new(ErrorKind::Timeout, message));
            }
            for carrier in carriers {
                kill_and_wait(carrier, end.saturating_duration_since(Instant::now()))?;
            }
        }
    }

    fn is_carried_by(&self, environment: &[u8]) -> bool {
        procfs::has_variable(environment, NONCE_VARIABLE, &self.nonce)
            && procfs::has_variable(environment, TAG_VARIABLE, &self.tag)
    }
}

/// The living processes that carry this nonce, whatever their tag; our own process left out.
///
/// Errors: `Internal` when `/proc` cannot be read.
pub fn find_by_nonce(nonce: &str) -> Result<Vec<Identity>, Error> {
    find(|environment| procfs::has_variable(environment, NONCE_VARIABLE, nonce))
}

fn find(matches: impl Fn(&[u8]) -> bool) -> Result<Vec<Identity>, Error> {
    let pids = procfs::pids().map_err(|error| Error::system("cannot list /proc", error))?;
    let mut found = Vec::new();
    for pid in pids {
        if pid == std::process::id() {
            continue;
        }
        // The identity is taken before the environment is read, so that a pid reused in between
        // gives an identity that is dead, never one that is innocent.
        let Some(identity) = Identity::of(pid)? else {
            continue;
        };
        // A process whose environment we may not read is not one that we started.
        if let Ok(Some(environment)) = procfs::environment(pid)
            && matches(&environment)
        {
            found.push(identity);
        }
    }
    Ok(found)
}
