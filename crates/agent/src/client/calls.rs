//! The calls: checks, the message, the call, the reply.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use virtcontainers_agent_proto::{agent, csi, health, oci, process, types};
use virtcontainers_types::{ContainerId, ErrorKind, ExitStatus};

use super::{Agent, closed};
use crate::details::{GuestDetails, Version};
use crate::error::{Error, Result};
use crate::guard;
use crate::listing::{self, ProcessInfo};
use crate::port::AgentPort;
use crate::process::{OutputStream, ProcessRef};

/// How often, and for how long, a link is looked for that the guest has not found yet.
const LINK_PAUSE: Duration = Duration::from_millis(100);
const LINK_PATIENCE: Duration = Duration::from_secs(1);

/// Sends a message to a method of the service: `send!(self, method, request, deadline)`, or
/// `send!(self[container], method, request, deadline)` when it is about one.
macro_rules! send {
    ($self:ident $([$container:expr])?, $method:ident, $request:expr, $deadline:expr) => {{
        let client = $self.shared.client.clone();
        let (request, context) = ($request, Self::context($deadline));
        let container = [$($container.as_str())?].first().copied();
        $self.call(stringify!($method), container, async move {
            client.$method(context, &request).await
        })
    }};
    ($self:ident $([$container:expr])?, $method:ident, $request:expr) => {
        send!($self $([$container])?, $method, $request, Some($self.shared.timeouts.call))
    };
}

/// A message that only names a container.
macro_rules! of_container {
    ($message:ident, $id:expr) => {
        agent::$message {
            container_id: $id.to_string(),
            ..Default::default()
        }
    };
}

#[async_trait]
impl AgentPort for Agent {
    async fn closed(&self) {
        closed(&mut self.shared.ended.clone()).await;
    }

    fn adopt(&self, process: &ProcessRef, terminal: bool, started: bool) {
        self.known().adopt(process, terminal, started);
    }

    fn forget(&self, container: &ContainerId) {
        self.known().removed(container.as_str());
    }

    async fn check(&self) -> Result<()> {
        self.check_within(self.shared.timeouts.call).await
    }

    async fn version(&self) -> Result<Version> {
        let client = self.shared.health.clone();
        let context = Self::context(Some(self.shared.timeouts.call));
        let request = health::CheckRequest::new();
        let reply = self
            .call("version", None, async move {
                client.version(context, &request).await
            })
            .await?;
        Ok(reply.into())
    }

    async fn create_sandbox(&self, request: agent::CreateSandboxRequest) -> Result<()> {
        self.known().create_sandbox()?;
        send!(self, create_sandbox, request).await?;
        Ok(())
    }

    async fn destroy_sandbox(&self) -> Result<()> {
        match send!(self, destroy_sandbox, agent::DestroySandboxRequest::new()).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(()),
        }
    }

    async fn guest_details(&self) -> Result<GuestDetails> {
        let request = agent::GuestDetailsRequest {
            mem_block_size: true,
            mem_hotplug_probe: true,
            ..Default::default()
        };
        Ok(send!(self, get_guest_details, request).await?.into())
    }

    async fn set_guest_date_time(&self, time: SystemTime) -> Result<()> {
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| {
            Error::refused("set_guest_date_time", "the time is before the year 1970")
        })?;
        let request = agent::SetGuestDateTimeRequest {
            Sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Usec: i64::from(since.subsec_micros()),
            ..Default::default()
        };
        send!(self, set_guest_date_time, request).await?;
        Ok(())
    }

    async fn reseed_random_dev(&self, data: Vec<u8>) -> Result<()> {
        guard::chunk("reseed_random_dev", data.len())?;
        let request = agent::ReseedRandomDevRequest {
            data,
            ..Default::default()
        };
        send!(self, reseed_random_dev, request).await?;
        Ok(())
    }

    async fn set_policy(&self, policy: String) -> Result<()> {
        guard::chunk("set_policy", policy.len())?;
        let request = agent::SetPolicyRequest {
            policy,
            ..Default::default()
        };
        send!(self, set_policy, request).await?;
        Ok(())
    }

    async fn get_oom_event(&self) -> Result<Option<String>> {
        match send!(self, get_oom_event, agent::GetOOMEventRequest::new(), None).await {
            Ok(event) => Ok(Some(event.container_id)),
            // How an agent says that the sandbox ends. To ask again would be a busy loop.
            Err(error) if error.kind() == ErrorKind::Internal && error.rpc_code().is_some() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn online_cpu_mem(&self, cpus: u32, cpu_only: bool) -> Result<()> {
        let request = agent::OnlineCPUMemRequest {
            wait: true,
            nb_cpus: cpus,
            cpu_only,
            ..Default::default()
        };
        send!(self, online_cpu_mem, request).await?;
        Ok(())
    }

    async fn create_container(&self, request: agent::CreateContainerRequest) -> Result<()> {
        guard::create_container(&request)?;
        let id = request.container_id.clone();
        let terminal = request.OCI.Process.Terminal;
        self.known().create_container(&id, terminal)?;
        let deadline = Some(self.shared.timeouts.create_container);
        let created = send!(self[id], create_container, request, deadline).await;
        created.map_err(|error| error.of_container(id))?;
        Ok(())
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        self.known().start_container(id.as_str())?;
        let request = of_container!(StartContainerRequest, id);
        let started = send!(self[id], start_container, request).await;
        started.map_err(|error| error.of_container(id.as_str()))?;
        Ok(())
    }

    async fn remove_container(&self, id: &ContainerId, timeout: Duration) -> Result<()> {
        // Whole seconds on the wire, and 0 would be for ever.
        let seconds = timeout.as_secs_f64().ceil().clamp(1.0, 86_400.0) as u32;
        let mut request = of_container!(RemoveContainerRequest, id);
        request.timeout = seconds;
        let deadline = self.shared.timeouts.call + Duration::from_secs(seconds.into());
        let removed = send!(self[id], remove_container, request, Some(deadline)).await;
        removed.map_err(|error| error.of_container(id.as_str()))?;
        self.known().removed(id.as_str());
        Ok(())
    }

    async fn pause_container(&self, id: &ContainerId) -> Result<()> {
        let paused = send!(
            self[id],
            pause_container,
            of_container!(PauseContainerRequest, id)
        )
        .await;
        paused.map_err(|error| error.of_container(id.as_str()))?;
        Ok(())
    }

    async fn resume_container(&self, id: &ContainerId) -> Result<()> {
        let request = of_container!(ResumeContainerRequest, id);
        let resumed = send!(self[id], resume_container, request).await;
        resumed.map_err(|error| error.of_container(id.as_str()))?;
        Ok(())
    }

    async fn update_container(
        &self,
        id: &ContainerId,
        resources: oci::LinuxResources,
    ) -> Result<()> {
        let mut request = of_container!(UpdateContainerRequest, id);
        request.resources = Some(resources).into();
        let updated = send!(self[id], update_container, request).await;
        updated.map_err(|error| error.of_container(id.as_str()))?;
        Ok(())
    }

    async fn stats_container(&self, id: &ContainerId) -> Result<agent::StatsContainerResponse> {
        let stats = send!(
            self[id],
            stats_container,
            of_container!(StatsContainerRequest, id)
        )
        .await;
        stats.map_err(|error| error.of_container(id.as_str()))
    }

    async fn list_processes(&self, id: &ContainerId) -> Result<Vec<ProcessInfo>> {
        let processes = self.shared.processes.clone();
        let request = process::ListProcessesRequest {
            container_id: id.to_string(),
            ..Default::default()
        };
        let context = Self::context(Some(self.shared.timeouts.call));
        let call = async move { processes.list_processes(context, &request).await };
        let listed = self.call("list_processes", Some(id.as_str()), call).await;
        let reply = listed.map_err(|error| error.of_container(id.as_str()))?;
        Ok(listing::of_reply(id, reply))
    }

    async fn exec_process(&self, process: &ProcessRef, spec: oci::Process) -> Result<()> {
        let refuse = |reason| Err(Error::refused("exec_process", reason).of_process(process));
        let Some(exec) = process.exec() else {
            return refuse("the init process is started by start_container; give an exec id");
        };
        if exec.as_str() == process.container().as_str() {
            return refuse("the exec id is the container's id, which means its init process");
        }
        guard::exec(&spec).map_err(|error| error.of_process(process))?;
        self.known().exec(process, spec.Terminal)?;
        let request = agent::ExecProcessRequest {
            container_id: process.wire_container(),
            exec_id: process.wire_exec(),
            process: Some(spec).into(),
            ..Default::default()
        };
        send!(self[process.container()], exec_process, request)
            .await
            .map_err(|error| {
                // Without an answer the process may exist.
                if error.rpc_code().is_some() {
                    self.known().exec_failed(process);
                }
                error.of_process(process)
            })?;
        Ok(())
    }

    async fn signal_process(&self, process: &ProcessRef, signal: u32) -> Result<()> {
        let request = agent::SignalProcessRequest {
            container_id: process.wire_container(),
            exec_id: process.wire_exec(),
            signal,
            ..Default::default()
        };
        let sent = send!(self[process.container()], signal_process, request).await;
        sent.map_err(|error| error.of_process(process))?;
        Ok(())
    }

    async fn kill_all(&self, id: &ContainerId) -> Result<()> {
        const SIGKILL: u32 = 9;
        let mut request = of_container!(SignalProcessRequest, id);
        request.signal = SIGKILL;
        let sent = send!(self[id], signal_process, request).await;
        sent.map_err(|error| error.of_container(id.as_str()))?;
        Ok(())
    }

    async fn wait_process(&self, process: &ProcessRef) -> Result<ExitStatus> {
        if let Some(status) = self.known().status(process) {
            return Ok(status);
        }
        let request = agent::WaitProcessRequest {
            container_id: process.wire_container(),
            exec_id: process.wire_exec(),
            ..Default::default()
        };
        let waited = send!(self[process.container()], wait_process, request, None).await;
        match waited {
            Ok(reply) => {
                let status = ExitStatus(reply.status);
                self.known().ended(process, status);
                Ok(status)
            }
            // Another wait over this connection may have been answered meanwhile.
            Err(error) => match self.known().status(process) {
                Some(status) if !error.is_gone() => Ok(status),
                _ => Err(error.of_process(process)),
            },
        }
    }

    async fn write_stdin(&self, process: &ProcessRef, data: Vec<u8>) -> Result<()> {
        guard::chunk("write_stdin", data.len()).map_err(|error| error.of_process(process))?;
        let mut rest = data;
        while !rest.is_empty() {
            let request = agent::WriteStreamRequest {
                container_id: process.wire_container(),
                exec_id: process.wire_exec(),
                data: rest.clone(),
                ..Default::default()
            };
            let reply = send!(self[process.container()], write_stdin, request, None).await;
            let reply = reply.map_err(|error| error.of_process(process))?;
            // Agents take all; one that takes a part gets the rest again.
            let taken = rest.len().min(reply.len as usize);
            if taken == 0 {
                let reason = "the agent took no input";
                return Err(Error::corrupt("write_stdin", reason).of_process(process));
            }
            rest.drain(..taken);
        }
        Ok(())
    }

    async fn close_stdin(&self, process: &ProcessRef) -> Result<()> {
        if self.known().has_terminal(process) {
            let reason = "closing the input of a terminal hangs up; send its end-of-file character";
            return Err(Error::wrong_state("close_stdin", reason).of_process(process));
        }
        let request = agent::CloseStdinRequest {
            container_id: process.wire_container(),
            exec_id: process.wire_exec(),
            ..Default::default()
        };
        let closed = send!(self[process.container()], close_stdin, request).await;
        closed.map_err(|error| error.of_process(process))?;
        Ok(())
    }

    async fn read_output(
        &self,
        process: &ProcessRef,
        stream: OutputStream,
        max: u32,
    ) -> Result<Option<Vec<u8>>> {
        guard::chunk("read_output", max as usize).map_err(|error| error.of_process(process))?;
        if stream == OutputStream::Stderr && self.known().has_terminal(process) {
            return Ok(None);
        }
        let request = agent::ReadStreamRequest {
            container_id: process.wire_container(),
            exec_id: process.wire_exec(),
            len: max,
            ..Default::default()
        };
        let read = match stream {
            OutputStream::Stdout => {
                send!(self[process.container()], read_stdout, request, None).await
            }
            OutputStream::Stderr => {
                send!(self[process.container()], read_stderr, request, None).await
            }
        };
        match read {
            Ok(reply) if reply.data.len() > max as usize => {
                let reason = format!("{} bytes came where {max} were asked for", reply.data.len());
                Err(Error::corrupt("read_output", reason).of_process(process))
            }
            Ok(reply) => Ok(Some(reply.data).filter(|data| !data.is_empty())),
            Err(error) if error.is_end_of_stream() => Ok(None),
            Err(error) => Err(error.of_process(process)),
        }
    }

    async fn tty_win_resize(&self, process: &ProcessRef, rows: u32, columns: u32) -> Result<()> {
        let request = agent::TtyWinResizeRequest {
            container_id: process.wire_container(),
            exec_id: process.wire_exec(),
            row: rows,
            column: columns,
            ..Default::default()
        };
        let resized = send!(self[process.container()], tty_win_resize, request).await;
        resized.map_err(|error| error.of_process(process))?;
        Ok(())
    }

    async fn update_interface(&self, interface: types::Interface) -> Result<types::Interface> {
        guard::interface(&interface)?;
        let end = Instant::now() + LINK_PATIENCE;
        loop {
            let request = agent::UpdateInterfaceRequest {
                interface: Some(interface.clone()).into(),
                ..Default::default()
            };
            match send!(self, update_interface, request).await {
                // The protocol has no event for a link that appears.
                Err(error) if error.is_link_not_found() && Instant::now() < end => {
                    sleep(LINK_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn update_routes(&self, routes: Vec<types::Route>) -> Result<Vec<types::Route>> {
        let routes = agent::Routes {
            Routes: routes,
            ..Default::default()
        };
        let request = agent::UpdateRoutesRequest {
            routes: Some(routes).into(),
            ..Default::default()
        };
        Ok(send!(self, update_routes, request).await?.Routes)
    }

    async fn list_interfaces(&self) -> Result<Vec<types::Interface>> {
        let request = agent::ListInterfacesRequest::new();
        Ok(send!(self, list_interfaces, request).await?.Interfaces)
    }

    async fn list_routes(&self) -> Result<Vec<types::Route>> {
        Ok(send!(self, list_routes, agent::ListRoutesRequest::new())
            .await?
            .Routes)
    }

    async fn add_arp_neighbors(&self, neighbors: Vec<types::ARPNeighbor>) -> Result<()> {
        let neighbors = agent::ARPNeighbors {
            ARPNeighbors: neighbors,
            ..Default::default()
        };
        let request = agent::AddARPNeighborsRequest {
            neighbors: Some(neighbors).into(),
            ..Default::default()
        };
        send!(self, add_arp_neighbors, request).await?;
        Ok(())
    }

    async fn copy_file(&self, part: agent::CopyFileRequest) -> Result<()> {
        guard::copy(&part)?;
        send!(self, copy_file, part).await?;
        Ok(())
    }

    async fn get_volume_stats(&self, guest_path: &str) -> Result<csi::VolumeStatsResponse> {
        let request = agent::VolumeStatsRequest {
            volume_guest_path: guest_path.to_owned(),
            ..Default::default()
        };
        send!(self, get_volume_stats, request).await
    }

    async fn get_metrics(&self) -> Result<String> {
        Ok(send!(self, get_metrics, agent::GetMetricsRequest::new())
            .await?
            .metrics)
    }
}
