//! Processes in a container: signals, more of them, and lists.

use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::instrument;
use virtcontainers_agent::ProcessRef;
use virtcontainers_agent_proto::LIST_PROCESSES_FEATURE;
use virtcontainers_store::Record;
use virtcontainers_types::{
    ContainerId, ContainerState, ExecId, ExitStatus, Operation, ProcessEntry, ProcessIdentity,
    SandboxId, SandboxState, check,
};

use crate::boot;
use crate::cgroup;
use crate::error::{Context, Error, ErrorKind};
use crate::exec::{AttachedExec, ExecProcess, ExecRequest};
use crate::options::ContainerIo;
use crate::plan;
use crate::runtime::Runtime;
use crate::stand_in::Making;
use crate::supervisor::client::exec_stood_for;
use crate::supervisor::control::Exec;

const SIGKILL: u32 = 9;

/// Whether the sandbox was made with this container.
fn is_first(record: &Record, container: &ContainerId) -> bool {
    let first = record.containers.first();
    first.is_some_and(|first| first.status.id == *container)
}

/// Whether a container cannot be signalled because there is nothing left to signal. One whose
/// machine is paused is still there.
fn is_gone(sandbox: SandboxState, container: ContainerState, error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Gone | ErrorKind::NotFound => true,
        ErrorKind::WrongState => {
            container == ContainerState::Stopped
                || matches!(
                    sandbox,
                    SandboxState::Stopping | SandboxState::Stopped | SandboxState::Failed
                )
        }
        _ => false,
    }
}

impl Runtime {
    /// Sends a signal to the init process of a container, or to all its processes. SIGKILL for what
    /// is gone already succeeds.
    ///
    /// It takes no lock, so that nothing keeps it from being sent. Errors: `NotFound`, `WrongState`,
    /// `Gone`; `Unsupported` for another signal than SIGKILL to all. Safe to drop; the signal may
    /// still arrive.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container, signal, all))]
    pub async fn kill_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
        signal: u32,
        all: bool,
    ) -> Result<(), Error> {
        let summary = self.peek(id).await?;
        let mut known = summary.containers.iter();
        let Some(known) = known.find(|known| known.id == *container) else {
            let message = format!("sandbox {id} has no container {container}");
            return Err(Error::new(ErrorKind::NotFound, message).of(id));
        };
        let operation = Operation::KillContainer;
        let sent = async {
            check(operation, summary.state, known.state).map_err(|refusal| {
                let message = format!("container {container}: {refusal}");
                Error::new(refusal.kind(), message).of(id)
            })?;
            let agent = self.connect_to(id, summary.machine.as_ref()).await?;
            let sent = match all && signal == SIGKILL {
                true => agent.kill_all(container).await,
                false if all => {
                    let message = format!(
                        "only SIGKILL can be sent to all processes, and {signal} is another signal"
                    );
                    return Err(Error::new(ErrorKind::Unsupported, message).of(id));
                }
                false => {
                    let process = ProcessRef::init(container.clone());
                    agent.signal_process(&process, signal).await
                }
            };
            sent.during(|| format!("cannot send signal {signal} to container {container}"))
                .map_err(|error| error.of(id))
        };
        match sent.await {
            Err(error) if signal == SIGKILL && is_gone(summary.state, known.state, &error) => {
                tracing::debug!(%error, "what is gone needs no SIGKILL");
                Ok(())
            }
            sent => sent,
        }
    }

    /// Starts one more process in a container that runs.
    ///
    /// Errors: `NotFound`; `WrongState` unless the sandbox runs; `Gone`; what the guest says about a
    /// process that it cannot make. Dropping the future may leave the process running.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %request.container))]
    pub async fn enter_container(
        &self,
        id: &SandboxId,
        request: ExecRequest,
    ) -> Result<ExecProcess, Error> {
        let operation = Operation::EnterContainer;
        let record = self.load(operation, id, Some(&request.container)).await?;
        let exec = ExecId::new(format!("exec-{}", &crate::clock::nonce()?[..12]))
            .during(|| "cannot name a process".to_owned())?;
        let agent = self.connect_agent(&record).await?;
        let facts = record.guest.unwrap_or_default();
        ExecProcess::start(agent, &facts, exec, request)
            .await
            .map_err(|error| error.of(id))
    }

    /// Starts one more process in a container that runs, and a stand-in for it on the host: a process
    /// in the sandbox's network namespace that ends with its status. Killing the stand-in kills the
    /// process. The sandbox's supervisor carries its streams to the request's.
    ///
    /// Errors: as [`enter_container`](Self::enter_container); `Unsupported` in a runtime that
    /// supervises by tasks. Dropping the future kills the process, if it was started.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %request.container))]
    pub async fn enter_detached(
        &self,
        id: &SandboxId,
        request: ExecRequest,
    ) -> Result<ProcessIdentity, Error> {
        let operation = Operation::EnterContainer;
        let record = self.load(operation, id, Some(&request.container)).await?;
        let ExecRequest {
            container,
            process,
            io,
        } = request;
        let exec = Exec { container, process };
        let mut known = record.containers.iter();
        let known = known.find(|known| known.status.id == exec.container);
        let config = known.map(|known| known.config.get()).transpose();
        let config = config.during(|| format!("cannot read container {}", exec.container))?;
        let view = config.map(|config| boot::view_of(config, !is_first(&record, &exec.container)));
        let view = view.transpose()?.unwrap_or_default();
        let making = Making::prepare(&self.host.supervision, &io, &view)?;
        let entered = async {
            let line = self.exec_line(id, exec, io).await?;
            let stand_in = self.start_stand_in(making, &record, line)?;
            match config.map(|config| cgroup::join(config, stand_in.pid)) {
                // A short process may have ended, and its stand-in with it.
                Some(Err(error)) if error.kind() != ErrorKind::Gone => Err(error),
                _ => Ok(stand_in),
            }
        };
        entered.await.map_err(|error| error.of(id))
    }

    /// Starts one more process in a container that runs, and lets this process stand for it: it is
    /// killed when the result is dropped. The sandbox's supervisor starts it and carries its streams
    /// to the request's, which saves a connection to the guest.
    ///
    /// Errors: as [`enter_container`](Self::enter_container). Dropping the future kills the process,
    /// if it was started.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %request.container))]
    pub async fn enter_attached(
        &self,
        id: &SandboxId,
        request: ExecRequest,
    ) -> Result<AttachedExec, Error> {
        let operation = Operation::EnterContainer;
        self.load(operation, id, Some(&request.container)).await?;
        let ExecRequest {
            container,
            process,
            io,
        } = request;
        let entered = async {
            let line = self.exec_line(id, Exec { container, process }, io).await?;
            AttachedExec::begin(line).await
        };
        entered.await.map_err(|error| error.of(id))
    }

    /// Has the supervisor start a process, and gives the stream on which its end is told.
    async fn exec_line(
        &self,
        id: &SandboxId,
        exec: Exec,
        io: ContainerIo,
    ) -> Result<UnixStream, Error> {
        let directory = self.host.layout.machine(id);
        let deadlines = self.deadlines();
        // It gives up the guest itself after the first part.
        let patience = deadlines.rpc + deadlines.lock;
        let line = timeout(patience, exec_stood_for(&directory, exec, io)).await;
        line.unwrap_or_else(|_| {
            let message = format!(
                "the supervisor of sandbox {id} did not answer within {} s; stop the sandbox",
                patience.as_secs()
            );
            Err(Error::new(ErrorKind::Timeout, message))
        })
    }

    /// Starts a stand-in that takes over `line` to the sandbox's supervisor.
    pub(super) fn start_stand_in(
        &self,
        making: Making<'_>,
        record: &Record,
        line: UnixStream,
    ) -> Result<ProcessIdentity, Error> {
        let namespace = self.namespace(record)?;
        let namespace = namespace
            .map(|namespace| namespace.descriptor())
            .transpose();
        let namespace = namespace.during(|| "cannot hand the network namespace on".to_owned())?;
        making.start(plan::nonce(record), namespace, line)
    }

    /// Lists the processes of a running container.
    ///
    /// Errors: `NotFound`, `WrongState`, `Gone`; `Unsupported` when the guest's agent has no such
    /// call: exec `ps` then. Safe to drop.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn process_list_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<Vec<ProcessEntry>, Error> {
        let operation = Operation::ProcessListContainer;
        let record = self.load(operation, id, Some(container)).await?;
        let features = record.guest.iter().flat_map(|facts| &facts.features);
        if !features
            .into_iter()
            .any(|word| word == LIST_PROCESSES_FEATURE)
        {
            let message = format!(
                "the agent in sandbox {id} cannot list processes: run `ps` in the container"
            );
            return Err(Error::new(ErrorKind::Unsupported, message).of(id));
        }
        let agent = self.connect_agent(&record).await?;
        let listed = agent.list_processes(container).await;
        let listed = listed.during(|| format!("cannot list the processes of {container}"))?;
        Ok(listed.into_iter().map(ProcessEntry::from).collect())
    }

    /// Waits until the init process of a container has ended, and gives its status; at once when it
    /// has. No lock is held meanwhile. Safe to drop and to repeat.
    ///
    /// Errors: `NotFound`; `Gone` when the machine is lost before the end was seen.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn wait_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<ExitStatus, Error> {
        let missing = || {
            let message = format!("sandbox {id} has no container {container}");
            Error::new(ErrorKind::NotFound, message).of(id)
        };
        let known = self.status_container(id, container).await?;
        if let Some(status) = known.ok_or_else(missing)?.exit_status {
            return Ok(status);
        }
        let directory = self.host.layout.machine(id);
        let waited = crate::supervisor::client::await_exit(&directory, container).await;
        if let Ok(Some(status)) = waited {
            return Ok(status);
        }
        // Its supervisor is ending: what it saw is in the record when it is gone.
        crate::supervisor::client::wait_for_end(&directory).await;
        let status = self.status_after_end(id).await?;
        let mut known = status.containers.into_iter();
        let known = known.find(|known| known.id == *container);
        known.ok_or_else(missing)?.exit_status.ok_or_else(|| {
            let message = format!("the end of container {container} was not seen");
            Error::new(ErrorKind::Gone, message).of(id)
        })
    }
}
