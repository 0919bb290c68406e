//! Where things of a sandbox lie under the state root.

use std::path::{Path, PathBuf};

use virtcontainers_types::SandboxId;

/// The host's end of the guest console, newest part.
pub(crate) const CONSOLE: &str = "console.log";
/// The part of the console before that.
pub(crate) const CONSOLE_OLD: &str = "console.log.1";
/// The supervisor's socket in the machine's directory.
pub(crate) const SUPERVISOR_SOCKET: &str = "supervisor.sock";

/// The state root, `/run/vc` unless the caller chose another.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The machine's directory: sockets and console of one sandbox.
    pub(crate) fn machine(&self, id: &SandboxId) -> PathBuf {
        self.root.join("machines").join(id)
    }
}
