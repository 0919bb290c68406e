//! The runtime: what all operations share. Nothing is kept between them but, for a handle, the
//! connection to its guest.

use std::sync::Arc;

use virtcontainers_hypervisor::Backend;
use virtcontainers_store::{BootId, FileStore};
use virtcontainers_types::{Deadlines, ExitStatus, SandboxId};

use crate::error::{Context, Error, ErrorKind};
use crate::host::Host;
use crate::kept::Kept;
use crate::options::RuntimeOptions;
use crate::paths::Layout;
use crate::plan;
use crate::supervisor::{self, SupervisorStart, console};

/// Runs containers in virtual machines. Cheap to clone; clones share everything.
///
/// Each operation stands alone: it takes the sandbox's lease, loads it, acts, stores and releases,
/// so any process may carry out the next one.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) host: Arc<Host>,
    /// The connection that a handle keeps; operations of the runtime itself make one each.
    pub(crate) kept: Option<Arc<Kept>>,
}

impl Runtime {
    /// A runtime that keeps its state under `options.root` and makes machines with `backend`.
    ///
    /// Errors: `Denied` without root privileges; `Invalid` for a root that is not absolute.
    pub fn new(options: RuntimeOptions, backend: Arc<dyn Backend>) -> Result<Self, Error> {
        if !options.root.is_absolute() {
            let root = options.root.display();
            let message = format!("the state root {root} is not absolute: write the whole path");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if !rustix::process::geteuid().is_root() {
            let message = "virtual machines need root privileges for namespaces and mounts: run \
                           this as root";
            return Err(Error::new(ErrorKind::Denied, message));
        }
        let store = match options.store {
            Some(store) => store,
            None => {
                let boot =
                    BootId::current().during(|| "cannot tell the boot of this host".to_owned())?;
                Arc::new(FileStore::new(&options.root, boot))
            }
        };
        let host = Host {
            store,
            layout: Layout::new(options.root),
            backend,
            agents: options.agents,
            daemon: options.share,
            deadline_factor: options.deadline_factor,
            supervision: options.supervision,
        };
        Ok(Self {
            host: Arc::new(host),
            kept: None,
        })
    }

    /// A runtime for whoever has only the host.
    pub(crate) const fn of(host: Arc<Host>) -> Self {
        Self { host, kept: None }
    }

    /// The same runtime, for a handle that keeps its connection.
    pub(crate) fn keeping(&self) -> Self {
        Self {
            host: Arc::clone(&self.host),
            kept: Some(Arc::default()),
        }
    }

    /// The guest's console as it was kept: at most the last 512 KiB.
    ///
    /// Errors: `NotFound` for an unknown sandbox.
    pub async fn console(&self, id: &SandboxId) -> Result<Vec<u8>, Error> {
        self.peek(id).await?;
        Ok(console::read(&self.host.layout.machine(id)))
    }

    /// Supervises the sandbox that this process was started for, to its end, and gives the status of
    /// its first container: 137 when it was ended with its machine, 255 when its machine was lost.
    ///
    /// Errors: `Incompatible` when the creator does not begin as expected.
    pub async fn supervise(&self, start: SupervisorStart) -> Result<ExitStatus, Error> {
        let (control, io, front) = start.into_parts()?;
        supervisor::supervise_here(&self.host, control, io, front).await
    }

    /// The deadlines of this runtime's sandboxes.
    pub fn deadlines(&self) -> Deadlines {
        plan::deadlines(self.host.backend.as_ref(), self.host.deadline_factor)
    }
}

/// Runs what blocks where that is allowed. Dropping the future does not stop it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "a blocking step died").because(error))?
}
