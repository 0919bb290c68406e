//! A connection to an agent that is wrong in one way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use virtcontainers_agent::{
    AgentPort, Error, ErrorKind, GuestDetails, OutputStream, ProcessInfo, ProcessRef, Result,
    Version,
};
use virtcontainers_agent_proto::{agent, csi, oci, types};
use virtcontainers_types::{ContainerId, ExitStatus};

#[derive(Debug)]
pub(super) struct BrokenPort {
    inner: Arc<dyn AgentPort>,
    breaks: &'static str,
    waited: Mutex<HashSet<ProcessRef>>,
    /// Processes whose output was read to its end.
    silent: Mutex<HashSet<ProcessRef>>,
}

impl BrokenPort {
    pub(super) fn new(inner: Arc<dyn AgentPort>, breaks: &'static str) -> Self {
        Self {
            inner,
            breaks,
            waited: Mutex::default(),
            silent: Mutex::default(),
        }
    }

    fn breaks(&self, promise: &str) -> bool {
        self.breaks == promise
    }

    /// Takes a refusal of this kind for a success.
    fn overlook<T>(
        &self,
        promise: &str,
        kind: ErrorKind,
        reply: Result<T>,
        instead: T,
    ) -> Result<T> {
        match reply {
            Err(error) if self.breaks(promise) && error.kind() == kind => Ok(instead),
            reply => reply,
        }
    }

    /// Whether the process was waited for before.
    fn was_waited_for(&self, process: &ProcessRef) -> bool {
        lock(&self.waited).contains(process)
    }
}

fn lock(set: &Mutex<HashSet<ProcessRef>>) -> MutexGuard<'_, HashSet<ProcessRef>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse<T>(operation: &'static str, kind: ErrorKind) -> Result<T> {
    Err(Error::of_port(operation, kind, "refused wrongly"))
}

#[async_trait]
impl AgentPort for BrokenPort {
    async fn closed(&self) {
        self.inner.closed().await;
    }

    fn adopt(&self, process: &ProcessRef, terminal: bool, started: bool) {
        self.inner.adopt(process, terminal, started);
    }

    fn forget(&self, container: &ContainerId) {
        self.inner.forget(container);
    }

    async fn check(&self) -> Result<()> {
        self.inner.check().await
    }

    async fn version(&self) -> Result<Version> {
        let mut version = self.inner.version().await?;
        if self.breaks("the-agent-serves") {
            version.protocol.clear();
        }
        Ok(version)
    }

    async fn create_sandbox(&self, request: agent::CreateSandboxRequest) -> Result<()> {
        let reply = self.inner.create_sandbox(request).await;
        self.overlook(
            "a-sandbox-is-created-once",
            ErrorKind::WrongState,
            reply,
            (),
        )
    }

    async fn destroy_sandbox(&self) -> Result<()> {
        match self.breaks("the-sandbox-is-destroyed") {
            true => Ok(()),
            false => self.inner.destroy_sandbox().await,
        }
    }

    async fn guest_details(&self) -> Result<GuestDetails> {
        self.inner.guest_details().await
    }

    async fn set_guest_date_time(&self, time: SystemTime) -> Result<()> {
        self.inner.set_guest_date_time(time).await
    }

    async fn reseed_random_dev(&self, data: Vec<u8>) -> Result<()> {
        let reply = self.inner.reseed_random_dev(data).await;
        self.overlook("no-random-data-is-refused", ErrorKind::Invalid, reply, ())
    }

    async fn set_policy(&self, policy: String) -> Result<()> {
        self.inner.set_policy(policy).await
    }

    async fn get_oom_event(&self) -> Result<Option<String>> {
        self.inner.get_oom_event().await
    }

    async fn online_cpu_mem(&self, cpus: u32, cpu_only: bool) -> Result<()> {
        self.inner.online_cpu_mem(cpus, cpu_only).await
    }

    async fn create_container(&self, request: agent::CreateContainerRequest) -> Result<()> {
        let reply = self.inner.create_container(request).await;
        let kind = ErrorKind::AlreadyExists;
        self.overlook("a-container-id-is-used-once", kind, reply, ())
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let reply = self.inner.start_container(id).await;
        self.overlook("a-container-starts-once", ErrorKind::WrongState, reply, ())
    }

    async fn remove_container(&self, id: &ContainerId, timeout: Duration) -> Result<()> {
        let reply = self.inner.remove_container(id, timeout).await;
        match self.breaks("a-removed-container-is-forgotten") {
            true => Ok(()),
            false => reply,
        }
    }

    async fn pause_container(&self, id: &ContainerId) -> Result<()> {
        match self.breaks("a-container-is-paused-and-resumed") {
            true => refuse("pause_container", ErrorKind::Internal),
            false => self.inner.pause_container(id).await,
        }
    }

    async fn resume_container(&self, id: &ContainerId) -> Result<()> {
        self.inner.resume_container(id).await
    }

    async fn update_container(
        &self,
        id: &ContainerId,
        resources: oci::LinuxResources,
    ) -> Result<()> {
        self.inner.update_container(id, resources).await
    }

    async fn stats_container(&self, id: &ContainerId) -> Result<agent::StatsContainerResponse> {
        self.inner.stats_container(id).await
    }

    async fn list_processes(&self, id: &ContainerId) -> Result<Vec<ProcessInfo>> {
        self.inner.list_processes(id).await
    }

    async fn exec_process(&self, process: &ProcessRef, spec: oci::Process) -> Result<()> {
        match self.inner.exec_process(process, spec).await {
            Err(error)
                if self.breaks("a-missing-program-is-told") && error.is_program_not_found() =>
            {
                refuse("exec_process", ErrorKind::Internal)
            }
            reply => {
                let kind = ErrorKind::AlreadyExists;
                self.overlook("an-exec-id-is-used-once", kind, reply, ())
            }
        }
    }

    async fn signal_process(&self, process: &ProcessRef, signal: u32) -> Result<()> {
        let ended = lock(&self.silent).contains(process);
        match ended && self.breaks("a-signal-to-what-ended-succeeds") {
            true => refuse("signal_process", ErrorKind::NotFound),
            false => self.inner.signal_process(process, signal).await,
        }
    }

    async fn kill_all(&self, id: &ContainerId) -> Result<()> {
        self.inner.kill_all(id).await
    }

    /// What a process did is seen by its status alone, so that is where it is wrong.
    async fn wait_process(&self, process: &ProcessRef) -> Result<ExitStatus> {
        let again = self.was_waited_for(process);
        let reply = self.inner.wait_process(process).await;
        let stranger = ("a-stranger-is-not-waited-for", ErrorKind::NotFound);
        let status = self.overlook(stranger.0, stranger.1, reply, ExitStatus(0))?;
        lock(&self.waited).insert(process.clone());
        let is_init = process.exec().is_none();
        Ok(match (self.breaks, status.0) {
            ("the-status-is-kept", status) if again => ExitStatus(status + 1),
            ("the-status-is-told", 3) if is_init => ExitStatus(0),
            ("an-exec-runs-at-once", 3) if !is_init => ExitStatus(0),
            ("a-signal-ends-a-process", 143) => ExitStatus(0),
            ("a-kill-reaches-all", 137) if !is_init => ExitStatus(0),
            (_, status) => ExitStatus(status),
        })
    }

    async fn write_stdin(&self, process: &ProcessRef, mut data: Vec<u8>) -> Result<()> {
        if self.breaks("input-reaches-the-process") {
            data.reverse();
        }
        let promise = match data.is_empty() {
            true => "no-input-is-refused",
            false => "too-much-input-is-refused",
        };
        let reply = self.inner.write_stdin(process, data).await;
        self.overlook(promise, ErrorKind::Invalid, reply, ())
    }

    async fn close_stdin(&self, process: &ProcessRef) -> Result<()> {
        let reply = self.inner.close_stdin(process).await;
        let kind = ErrorKind::WrongState;
        self.overlook("a-terminal-keeps-its-input", kind, reply, ())
    }

    async fn read_output(
        &self,
        process: &ProcessRef,
        stream: OutputStream,
        max: u32,
    ) -> Result<Option<Vec<u8>>> {
        let read = self.inner.read_output(process, stream, max).await?;
        if read.is_none() {
            lock(&self.silent).insert(process.clone());
        }
        Ok(match (self.breaks, read) {
            ("output-is-read-to-its-end", Some(data)) if data == b"hello\n" => {
                Some(b"hello".to_vec())
            }
            ("a-terminal-has-one-output", None) if stream == OutputStream::Stderr => {
                Some(b"?".to_vec())
            }
            (_, read) => read,
        })
    }

    async fn tty_win_resize(&self, process: &ProcessRef, rows: u32, columns: u32) -> Result<()> {
        self.inner.tty_win_resize(process, rows, columns).await
    }

    async fn update_interface(&self, interface: types::Interface) -> Result<types::Interface> {
        self.inner.update_interface(interface).await
    }

    async fn update_routes(&self, routes: Vec<types::Route>) -> Result<Vec<types::Route>> {
        self.inner.update_routes(routes).await
    }

    async fn list_interfaces(&self) -> Result<Vec<types::Interface>> {
        self.inner.list_interfaces().await
    }

    async fn list_routes(&self) -> Result<Vec<types::Route>> {
        self.inner.list_routes().await
    }

    async fn add_arp_neighbors(&self, neighbors: Vec<types::ARPNeighbor>) -> Result<()> {
        self.inner.add_arp_neighbors(neighbors).await
    }

    async fn copy_file(&self, part: agent::CopyFileRequest) -> Result<()> {
        self.inner.copy_file(part).await
    }

    async fn get_volume_stats(&self, guest_path: &str) -> Result<csi::VolumeStatsResponse> {
        self.inner.get_volume_stats(guest_path).await
    }

    async fn get_metrics(&self) -> Result<String> {
        self.inner.get_metrics().await
    }
}
