//! A handle on one sandbox: the operations of the runtime, and those that need a connection.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell};
use tracing::instrument;
use virtcontainers_agent::{Agent, AgentPort, ProcessRef};
use virtcontainers_store::LeaseMode;
use virtcontainers_types::{
    ContainerId, ContainerState, ContainerStatus, ExecId, ExitStatus, GuestFacts, SandboxConfig,
    SandboxId, SandboxState, SandboxStatus,
};

use crate::error::{Context, Error, ErrorKind};
use crate::exec::{ExecProcess, ExecRequest};
use crate::runtime::Runtime;
use crate::supervisor::{Held, wait_for_end};

/// One sandbox. Dropping the handle of the creator ends an attached sandbox; any other is left.
#[derive(Debug)]
pub struct Sandbox {
    runtime: Runtime,
    id: SandboxId,
    directory: PathBuf,
    /// The creator's hold.
    held: Mutex<Option<Held>>,
    guest: OnceCell<Arc<Guest>>,
}

/// A guest that was connected to.
#[derive(Debug)]
struct Guest {
    agent: Agent,
    facts: GuestFacts,
    config: SandboxConfig,
}

impl Sandbox {
    pub(crate) fn new(
        runtime: Runtime,
        id: SandboxId,
        directory: PathBuf,
        held: Option<Held>,
    ) -> Self {
        Self {
            runtime,
            id,
            directory,
            held: Mutex::new(held),
            guest: OnceCell::new(),
        }
    }

    /// The sandbox's id.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// As [`Runtime::status_sandbox`].
    pub async fn status(&self) -> Result<SandboxStatus, Error> {
        self.runtime.status_sandbox(&self.id).await
    }

    /// As [`Runtime::start_sandbox`].
    pub async fn start(&self) -> Result<(), Error> {
        self.runtime.start_sandbox(&self.id).await
    }

    /// As [`Runtime::stop_sandbox`].
    pub async fn stop(&self) -> Result<(), Error> {
        self.runtime.stop_sandbox(&self.id).await
    }

    /// As [`Runtime::delete_sandbox`].
    pub async fn delete(self, force: bool) -> Result<(), Error> {
        self.runtime.delete_sandbox(&self.id, force).await
    }

    /// Waits until the sandbox has ended and is cleaned up, and tells the status of its first
    /// container. Safe to drop and to call again.
    ///
    /// Errors: `Gone` when machine, guest or supervisor were lost, with the reason; `NotFound` when
    /// the sandbox was deleted meanwhile.
    pub async fn wait(&self) -> Result<ExitStatus, Error> {
        match self.held.lock().await.as_mut() {
            Some(held) => held.ended().await,
            None => wait_for_end(&self.directory).await,
        }
        let status = self.status().await?;
        match (status.state, status.failure, status.containers.first()) {
            (SandboxState::Failed, failure, _) => {
                let why = failure.unwrap_or_else(|| "for an unknown reason".to_owned());
                let message = format!("sandbox {} was lost: {why}", self.id);
                Err(Error::new(ErrorKind::Gone, message).of(&self.id))
            }
            (
                _,
                _,
                Some(ContainerStatus {
                    exit_status: Some(status),
                    ..
                }),
            ) => Ok(*status),
            _ => {
                let message = format!("sandbox {} ended, but no exit status was seen", self.id);
                Err(Error::new(ErrorKind::Gone, message).of(&self.id))
            }
        }
    }

    /// Sends a signal to a container's init process, or with `all` and SIGKILL to every process in
    /// it. Success when it has ended already. Safe to drop; the signal may be sent all the same.
    ///
    /// Errors: `NotFound`, `WrongState` for a sandbox that is not up, `Gone`.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %self.id, container = %container))]
    pub async fn signal(
        &self,
        container: &ContainerId,
        signal: u32,
        all: bool,
    ) -> Result<(), Error> {
        let guest = self.guest().await?;
        guest.require(container)?;
        let sent = match all && signal == 9 {
            true => guest.agent.kill_all(container).await,
            false => {
                guest
                    .agent
                    .signal_process(&ProcessRef::init(container.clone()), signal)
                    .await
            }
        };
        sent.during(|| format!("cannot send signal {signal} to container {container}"))
    }

    /// Sets the size of a container's terminal. Errors: as [`signal`](Self::signal).
    pub async fn resize_terminal(
        &self,
        container: &ContainerId,
        rows: u32,
        columns: u32,
    ) -> Result<(), Error> {
        let guest = self.guest().await?;
        let process = ProcessRef::init(container.clone());
        let resized = guest.agent.tty_win_resize(&process, rows, columns).await;
        resized.during(|| format!("cannot resize the terminal of container {container}"))
    }

    /// Starts one more process in a container that runs.
    ///
    /// Errors: `NotFound`; `WrongState` unless the sandbox runs; `Gone`; what the guest says about a
    /// process that it cannot make. Dropping the future may leave the process running.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %self.id, container = %request.container))]
    pub async fn exec(&self, request: ExecRequest) -> Result<ExecProcess, Error> {
        let guest = self.guest().await?;
        guest.require(&request.container)?;
        let exec = ExecId::new(format!("exec-{}", &crate::clock::nonce()?[..12]))
            .during(|| "cannot name a process".to_owned())?;
        ExecProcess::start(guest.agent.clone(), &guest.facts, exec, request).await
    }

    /// The configuration that the sandbox was made from.
    pub async fn config(&self) -> Result<SandboxConfig, Error> {
        Ok(self
            .runtime
            .open(&self.id, LeaseMode::Shared, "read")
            .await?
            .record()
            .config
            .clone())
    }

    async fn guest(&self) -> Result<Arc<Guest>, Error> {
        let connect = || async {
            let lease = self
                .runtime
                .open(&self.id, LeaseMode::Shared, "connect")
                .await?;
            let record = lease.record().clone();
            drop(lease);
            match record.state {
                SandboxState::Ready | SandboxState::Running => {}
                SandboxState::Creating
                | SandboxState::Paused
                | SandboxState::Stopping
                | SandboxState::Stopped
                | SandboxState::Failed => {
                    let message = format!(
                        "sandbox {} is {}: its guest can be asked only when it is ready or running",
                        self.id, record.state
                    );
                    return Err(Error::new(ErrorKind::WrongState, message).of(&self.id));
                }
            }
            let agent = self.runtime.connect_agent(&record).await?;
            let facts = record.guest.unwrap_or_default();
            Ok(Arc::new(Guest {
                agent,
                facts,
                config: record.config,
            }))
        };
        self.guest.get_or_try_init(connect).await.cloned()
    }
}

impl Guest {
    fn require(&self, container: &ContainerId) -> Result<(), Error> {
        if self
            .config
            .containers
            .iter()
            .any(|known| known.id == *container)
        {
            return Ok(());
        }
        let message = format!("sandbox {} has no container {container}", self.config.id);
        Err(Error::new(ErrorKind::NotFound, message).of(&self.config.id))
    }
}

/// The containers of a new sandbox.
pub(crate) fn created_containers(config: &SandboxConfig) -> Vec<ContainerStatus> {
    let status = |id: &ContainerId| ContainerStatus {
        id: id.clone(),
        state: ContainerState::Created,
        exit_status: None,
    };
    config
        .containers
        .iter()
        .map(|container| status(&container.id))
        .collect()
}
