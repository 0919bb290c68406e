//! A handle on one sandbox: the operations of the runtime, and those that need a living connection.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex as StdMutex, PoisonError};

use tokio::sync::Mutex;
use tracing::instrument;
use virtcontainers_agent::ProcessRef;
use virtcontainers_store::{Record, Summary};
use virtcontainers_types::{
    AgentEndpoint, ContainerConfig, ContainerId, ContainerStats, ContainerStatus, DeviceInfo,
    ExecId, ExitStatus, Interface, MacAddress, NetworkStatus, Operation, ProcessEntry,
    ProcessIdentity, Resources, Route, SandboxConfig, SandboxId, SandboxState, SandboxStats,
    SandboxStatus,
};

use crate::error::{Context, Error, ErrorKind};
use crate::exec::{ExecProcess, ExecRequest};
use crate::operation::allow_states;
use crate::options::{ContainerIo, IoStreams};
use crate::runtime::Runtime;
use crate::supervisor::Held;
use crate::supervisor::client::{self, OutOfMemoryEvents};

/// One sandbox. The handle keeps one connection to its guest, and makes a new one when the machine
/// is another. Dropping the handle of the creator ends an attached sandbox; any other is left.
#[derive(Debug)]
pub struct Sandbox {
    runtime: Runtime,
    id: SandboxId,
    directory: PathBuf,
    /// The creator's hold.
    held: Mutex<Option<Held>>,
    /// The ends of containers' streams that were kept for [`io_stream`](Self::io_stream).
    streams: StdMutex<HashMap<ContainerId, IoStreams>>,
}

impl Sandbox {
    pub(crate) fn new(runtime: &Runtime, record: &Record) -> Self {
        let id = record.id().clone();
        Self {
            runtime: runtime.keeping(),
            directory: runtime.host.layout.machine(&id),
            id,
            held: Mutex::new(None),
            streams: StdMutex::default(),
        }
    }

    /// The handle of the creator, which also has the streams of the first container.
    pub(crate) fn of_creator(
        runtime: &Runtime,
        record: &Record,
        held: Held,
        streams: Option<IoStreams>,
    ) -> Self {
        let first = record.containers.first();
        let kept = first.map(|first| first.status.id.clone()).zip(streams);
        Self {
            held: Mutex::new(Some(held)),
            streams: StdMutex::new(kept.into_iter().collect()),
            ..Self::new(runtime, record)
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

    /// The containers, in the order of their creation. Errors: as [`status`](Self::status).
    pub async fn containers(&self) -> Result<Vec<ContainerStatus>, Error> {
        Ok(self.status().await?.containers)
    }

    /// As [`Runtime::status_container`].
    pub async fn status_container(
        &self,
        container: &ContainerId,
    ) -> Result<Option<ContainerStatus>, Error> {
        self.runtime.status_container(&self.id, container).await
    }

    /// As [`Runtime::annotations`].
    pub async fn annotations(&self) -> Result<BTreeMap<String, String>, Error> {
        self.runtime.annotations(&self.id).await
    }

    /// As [`Runtime::set_annotations`].
    pub async fn set_annotations(
        &self,
        annotations: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        self.runtime.set_annotations(&self.id, annotations).await
    }

    /// The configuration that the sandbox was made from, with its containers and annotations as they
    /// are now.
    ///
    /// Errors: `NotFound`; `Corrupt`.
    pub async fn config(&self) -> Result<SandboxConfig, Error> {
        let operation = Operation::FetchSandbox;
        let record = self.runtime.load(operation, &self.id, None).await?;
        record
            .to_config()
            .during(|| format!("cannot read the configuration of sandbox {}", self.id))
    }

    /// As [`Runtime::start_sandbox`].
    pub async fn start(&self) -> Result<SandboxStatus, Error> {
        self.runtime.start_sandbox(&self.id).await
    }

    /// As [`Runtime::stop_sandbox`].
    pub async fn stop(&self, force: bool) -> Result<SandboxStatus, Error> {
        self.runtime.stop_sandbox(&self.id, force).await
    }

    /// As [`Runtime::pause_sandbox`].
    pub async fn pause(&self) -> Result<SandboxStatus, Error> {
        self.runtime.pause_sandbox(&self.id).await
    }

    /// As [`Runtime::resume_sandbox`].
    pub async fn resume(&self) -> Result<SandboxStatus, Error> {
        self.runtime.resume_sandbox(&self.id).await
    }

    /// As [`Runtime::delete_sandbox`].
    pub async fn delete(self, force: bool) -> Result<(), Error> {
        self.runtime.delete_sandbox(&self.id, force).await
    }

    /// Closes the connection to the guest; the next operation that needs one makes a new one. The
    /// sandbox stays as it is.
    pub fn release(&self) {
        if let Some(kept) = &self.runtime.kept {
            kept.release();
        }
    }

    /// Waits until the sandbox has ended and is cleaned up, and tells the status of its first
    /// container. Safe to drop and to call again.
    ///
    /// Errors: `Gone` when machine, guest or supervisor were lost, with the reason; `NotFound` when
    /// the sandbox was deleted meanwhile.
    pub async fn wait(&self) -> Result<ExitStatus, Error> {
        let status = self.monitor().await?;
        if status.state == SandboxState::Failed {
            let why = status
                .failure
                .unwrap_or_else(|| "for an unknown reason".to_owned());
            let message = format!("sandbox {} was lost: {why}", self.id);
            return Err(Error::new(ErrorKind::Gone, message).of(&self.id));
        }
        let first = status.containers.first();
        first.and_then(|first| first.exit_status).ok_or_else(|| {
            let message = format!("sandbox {} ended, but no exit status was seen", self.id);
            Error::new(ErrorKind::Gone, message).of(&self.id)
        })
    }

    /// Waits until the sandbox's machine has ended, for whatever reason, and all is cleaned up; gives
    /// the status then, whose `failure` says what was lost if something was. Safe to drop.
    ///
    /// Errors: `NotFound` when the sandbox was deleted meanwhile.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %self.id))]
    pub async fn monitor(&self) -> Result<SandboxStatus, Error> {
        match self.held.lock().await.as_mut() {
            Some(held) => held.ended().await,
            None => client::wait_for_end(&self.directory).await,
        }
        self.runtime.status_after_end(&self.id).await
    }

    /// As [`Runtime::create_container`]. Streams that [`ContainerIo::kept`] made are given out by
    /// [`io_stream`](Self::io_stream).
    pub async fn create_container(
        &self,
        config: ContainerConfig,
        mut io: ContainerIo,
    ) -> Result<ContainerStatus, Error> {
        let streams = io.take_streams();
        let container = config.id.clone();
        let status = self.runtime.create_container(&self.id, config, io).await?;
        if let Some(streams) = streams {
            self.kept_streams().insert(container, streams);
        }
        Ok(status)
    }

    /// As [`Runtime::start_container`].
    pub async fn start_container(&self, container: &ContainerId) -> Result<ContainerStatus, Error> {
        self.runtime.start_container(&self.id, container).await
    }

    /// As [`Runtime::stop_container`].
    pub async fn stop_container(
        &self,
        container: &ContainerId,
        force: bool,
    ) -> Result<ContainerStatus, Error> {
        self.runtime
            .stop_container(&self.id, container, force)
            .await
    }

    /// As [`Runtime::delete_container`].
    pub async fn delete_container(&self, container: &ContainerId) -> Result<(), Error> {
        self.runtime.delete_container(&self.id, container).await?;
        self.kept_streams().remove(container);
        Ok(())
    }

    /// As [`Runtime::kill_container`].
    pub async fn kill_container(
        &self,
        container: &ContainerId,
        signal: u32,
        all: bool,
    ) -> Result<(), Error> {
        self.runtime
            .kill_container(&self.id, container, signal, all)
            .await
    }

    /// As [`Runtime::pause_container`].
    pub async fn pause_container(&self, container: &ContainerId) -> Result<ContainerStatus, Error> {
        self.runtime.pause_container(&self.id, container).await
    }

    /// As [`Runtime::resume_container`].
    pub async fn resume_container(
        &self,
        container: &ContainerId,
    ) -> Result<ContainerStatus, Error> {
        self.runtime.resume_container(&self.id, container).await
    }

    /// As [`Runtime::update_container`].
    pub async fn update_container(
        &self,
        container: &ContainerId,
        resources: Resources,
    ) -> Result<(), Error> {
        self.runtime
            .update_container(&self.id, container, resources)
            .await
    }

    /// As [`Runtime::stats_container`].
    pub async fn stats_container(&self, container: &ContainerId) -> Result<ContainerStats, Error> {
        self.runtime.stats_container(&self.id, container).await
    }

    /// As [`Runtime::stats_sandbox`].
    pub async fn stats(&self) -> Result<(SandboxStats, Vec<(ContainerId, ContainerStats)>), Error> {
        self.runtime.stats_sandbox(&self.id).await
    }

    /// As [`Runtime::process_list_container`].
    pub async fn process_list_container(
        &self,
        container: &ContainerId,
    ) -> Result<Vec<ProcessEntry>, Error> {
        self.runtime
            .process_list_container(&self.id, container)
            .await
    }

    /// As [`Runtime::enter_container`].
    pub async fn enter_container(&self, request: ExecRequest) -> Result<ExecProcess, Error> {
        self.runtime.enter_container(&self.id, request).await
    }

    /// As [`Runtime::cleanup_container`].
    pub async fn cleanup_container(
        &self,
        container: &ContainerId,
        force: bool,
    ) -> Result<(), Error> {
        self.runtime
            .cleanup_container(&self.id, container, force)
            .await
    }

    /// Waits for a process: the init process of a container, or one that was exec'd there. The
    /// status of an exec'd process is given once, to whoever waits first, and its output is lost:
    /// [`ExecProcess::wait`] carries it. Safe to drop.
    ///
    /// Errors: `NotFound`; `WrongState`; `Gone`.
    #[instrument(skip_all, fields(subsystem = "process", sandbox = %self.id, container = %container))]
    pub async fn wait_process(
        &self,
        container: &ContainerId,
        exec: Option<&ExecId>,
    ) -> Result<ExitStatus, Error> {
        let Some(exec) = exec else {
            return self.runtime.wait_container(&self.id, container).await;
        };
        let agent = self.agent(Operation::WaitProcess, container).await?;
        let process = ProcessRef::exec_of(container.clone(), exec.clone());
        let waited = agent.wait_process(&process).await;
        waited.during(|| format!("cannot wait for process {process}"))
    }

    /// Sends a signal to a process: the init process of a container, or one that was exec'd there.
    ///
    /// Errors: `NotFound`, `WrongState`, `Gone`. Safe to drop; the signal may still arrive.
    #[instrument(skip_all, fields(subsystem = "process", sandbox = %self.id, container = %container, signal))]
    pub async fn signal_process(
        &self,
        container: &ContainerId,
        exec: Option<&ExecId>,
        signal: u32,
    ) -> Result<(), Error> {
        let Some(exec) = exec else {
            return self.kill_container(container, signal, false).await;
        };
        // As with a container, nothing keeps a signal from being sent.
        let summary = self.peek(Operation::SignalProcess, Some(container)).await?;
        let agent = self
            .runtime
            .connect_to(&self.id, summary.machine.as_ref())
            .await?;
        let process = ProcessRef::exec_of(container.clone(), exec.clone());
        let sent = agent.signal_process(&process, signal).await;
        sent.during(|| format!("cannot send signal {signal} to process {process}"))
    }

    /// Sets the size of a process's terminal, in characters.
    ///
    /// Errors: `NotFound`, `WrongState`, `Gone`. Safe to drop.
    #[instrument(skip_all, fields(subsystem = "process", sandbox = %self.id, container = %container))]
    pub async fn resize_terminal(
        &self,
        container: &ContainerId,
        exec: Option<&ExecId>,
        rows: u32,
        columns: u32,
    ) -> Result<(), Error> {
        let agent = self.agent(Operation::ResizeTerminal, container).await?;
        let process = match exec {
            Some(exec) => ProcessRef::exec_of(container.clone(), exec.clone()),
            None => ProcessRef::init(container.clone()),
        };
        let resized = agent.tty_win_resize(&process, rows, columns).await;
        resized.during(|| format!("cannot resize the terminal of process {process}"))
    }

    /// Our ends of a container's streams, once. Only for a container that this handle created with
    /// [`ContainerIo::kept`].
    ///
    /// Errors: `NotFound` when there are none, or they were given out.
    pub fn io_stream(&self, container: &ContainerId) -> Result<IoStreams, Error> {
        self.kept_streams().remove(container).ok_or_else(|| {
            let message = format!(
                "this handle has no streams of container {container}: create it with kept ones, \
                 and ask once"
            );
            Error::new(ErrorKind::NotFound, message).of(&self.id)
        })
    }

    /// The containers that run out of memory from now on, as they do.
    ///
    /// Errors: `NotFound`; `WrongState` when the sandbox is not up; `Gone`.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %self.id))]
    pub async fn oom_events(&self) -> Result<OutOfMemoryEvents, Error> {
        let operation = Operation::OomEvents;
        self.runtime.load(operation, &self.id, None).await?;
        OutOfMemoryEvents::listen(&self.directory)
            .await
            .map_err(|error| error.of(&self.id))
    }

    /// Where the guest's agent is reached. Errors: `NotFound`; `WrongState` when the sandbox is not
    /// up; `Gone`.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %self.id))]
    pub async fn agent_url(&self) -> Result<AgentEndpoint, Error> {
        let summary = self.peek(Operation::AgentUrl, None).await?;
        let machine = self.runtime.adopt(&self.id, summary.machine.as_ref());
        Ok(machine.await?.agent_endpoint())
    }

    /// The process of the virtual machine monitor; `None` when the backend has no process for it.
    /// Errors: as [`agent_url`](Self::agent_url).
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %self.id))]
    pub async fn hypervisor_pid(&self) -> Result<Option<ProcessIdentity>, Error> {
        let summary = self.peek(Operation::HypervisorPid, None).await?;
        let machine = self.runtime.adopt(&self.id, summary.machine.as_ref());
        Ok(machine.await?.processes().first().copied())
    }

    /// As [`Runtime::add_device`].
    pub async fn add_device(&self, device: DeviceInfo) -> Result<(), Error> {
        self.runtime.add_device(&self.id, device).await
    }

    /// As [`Runtime::network`].
    pub async fn network(&self) -> Result<NetworkStatus, Error> {
        self.runtime.network(&self.id).await
    }

    /// As [`Runtime::add_interface`].
    pub async fn add_interface(&self, interface: Interface) -> Result<Interface, Error> {
        self.runtime.add_interface(&self.id, interface).await
    }

    /// As [`Runtime::remove_interface`].
    pub async fn remove_interface(&self, interface: MacAddress) -> Result<Interface, Error> {
        self.runtime.remove_interface(&self.id, interface).await
    }

    /// As [`Runtime::list_interfaces`].
    pub async fn list_interfaces(&self) -> Result<Vec<Interface>, Error> {
        self.runtime.list_interfaces(&self.id).await
    }

    /// As [`Runtime::list_routes`].
    pub async fn list_routes(&self) -> Result<Vec<Route>, Error> {
        self.runtime.list_routes(&self.id).await
    }

    /// As [`Runtime::update_routes`].
    pub async fn update_routes(&self, routes: Vec<Route>) -> Result<Vec<Route>, Error> {
        self.runtime.update_routes(&self.id, routes).await
    }

    /// What is shown of the sandbox, without a lock, when its states allow the operation.
    async fn peek(
        &self,
        operation: Operation,
        container: Option<&ContainerId>,
    ) -> Result<Summary, Error> {
        let summary = self.runtime.peek(&self.id).await?;
        let mut known = summary.containers.iter();
        let known = container.and_then(|id| known.find(|known| known.id == *id));
        allow_states(
            operation,
            &self.id,
            summary.state,
            container.map(|id| (id, known.map(|known| known.state))),
        )?;
        Ok(summary)
    }

    async fn agent(
        &self,
        operation: Operation,
        container: &ContainerId,
    ) -> Result<crate::Agent, Error> {
        let record = self.runtime.load(operation, &self.id, Some(container));
        self.runtime.connect_agent(&record.await?).await
    }

    fn kept_streams(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerId, IoStreams>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
