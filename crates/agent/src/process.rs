//! Names of processes in the guest, and the two streams that come out of them.

use std::fmt;

use virtcontainers_types::{ContainerId, ExecId};

/// A process in a container: its init process or an exec'd one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProcessRef {
    container: ContainerId,
    exec: Option<ExecId>,
}

impl ProcessRef {
    /// The init process of a container.
    pub fn init(container: ContainerId) -> Self {
        Self {
            container,
            exec: None,
        }
    }

    /// An exec'd process of a container.
    pub fn exec_of(container: ContainerId, exec: ExecId) -> Self {
        Self {
            container,
            exec: Some(exec),
        }
    }

    /// The container.
    pub fn container(&self) -> &ContainerId {
        &self.container
    }

    /// The exec id, absent for the init process.
    pub fn exec(&self) -> Option<&ExecId> {
        self.exec.as_ref()
    }

    pub(crate) fn wire_container(&self) -> String {
        self.container.to_string()
    }

    /// The exec id on the wire: the container's own id means its init process and never, as the
    /// empty id does with SIGKILL, all processes of the container.
    pub(crate) fn wire_exec(&self) -> String {
        match &self.exec {
            Some(exec) => exec.to_string(),
            None => self.container.to_string(),
        }
    }
}

impl fmt::Display for ProcessRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exec {
            Some(exec) => write!(f, "{}/{exec}", self.container),
            None => self.container.fmt(f),
        }
    }
}

/// A stream that comes out of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Standard output; of a process with a terminal, all its output.
    Stdout,
    /// Standard error. A process with a terminal has none.
    Stderr,
}
