//! An agent with points before and after every call.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use virtcontainers_agent::{
    AgentPort, GuestDetails, OutputStream, ProcessInfo, ProcessRef, Result, Version,
};
use virtcontainers_agent_proto::{agent, csi, oci, types};
use virtcontainers_types::{ContainerId, ExitStatus};

use super::Points;
use super::connector::struck;

pub(super) struct FaultAgent {
    pub(super) inner: Arc<dyn AgentPort>,
    pub(super) points: Points,
    /// Whether the machine around it is halted now.
    pub(super) halted: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for FaultAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultAgent")
    }
}

impl FaultAgent {
    async fn call<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let heard = async {
            if (self.halted)() {
                return pending().await;
            }
            call.await
        };
        let points = &self.points;
        points.around_waiting(method, heard, struck(method)).await
    }
}

#[async_trait]
impl AgentPort for FaultAgent {
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
        self.call("check", self.inner.check()).await
    }

    async fn version(&self) -> Result<Version> {
        self.call("version", self.inner.version()).await
    }

    async fn create_sandbox(&self, request: agent::CreateSandboxRequest) -> Result<()> {
        self.call("create_sandbox", self.inner.create_sandbox(request))
            .await
    }

    async fn destroy_sandbox(&self) -> Result<()> {
        self.call("destroy_sandbox", self.inner.destroy_sandbox())
            .await
    }

    async fn guest_details(&self) -> Result<GuestDetails> {
        self.call("guest_details", self.inner.guest_details()).await
    }

    async fn set_guest_date_time(&self, time: SystemTime) -> Result<()> {
        self.call("set_guest_date_time", self.inner.set_guest_date_time(time))
            .await
    }

    async fn reseed_random_dev(&self, data: Vec<u8>) -> Result<()> {
        self.call("reseed_random_dev", self.inner.reseed_random_dev(data))
            .await
    }

    async fn set_policy(&self, policy: String) -> Result<()> {
        self.call("set_policy", self.inner.set_policy(policy)).await
    }

    async fn get_oom_event(&self) -> Result<Option<String>> {
        self.call("get_oom_event", self.inner.get_oom_event()).await
    }

    async fn online_cpu_mem(&self, cpus: u32, cpu_only: bool) -> Result<()> {
        self.call("online_cpu_mem", self.inner.online_cpu_mem(cpus, cpu_only))
            .await
    }

    async fn create_container(&self, request: agent::CreateContainerRequest) -> Result<()> {
        self.call("create_container", self.inner.create_container(request))
            .await
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        self.call("start_container", self.inner.start_container(id))
            .await
    }

    async fn remove_container(&self, id: &ContainerId, timeout: Duration) -> Result<()> {
        self.call("remove_container", self.inner.remove_container(id, timeout))
            .await
    }

    async fn pause_container(&self, id: &ContainerId) -> Result<()> {
        self.call("pause_container", self.inner.pause_container(id))
            .await
    }

    async fn resume_container(&self, id: &ContainerId) -> Result<()> {
        self.call("resume_container", self.inner.resume_container(id))
            .await
    }

    async fn update_container(
        &self,
        id: &ContainerId,
        resources: oci::LinuxResources,
    ) -> Result<()> {
        self.call(
            "update_container",
            self.inner.update_container(id, resources),
        )
        .await
    }

    async fn stats_container(&self, id: &ContainerId) -> Result<agent::StatsContainerResponse> {
        self.call("stats_container", self.inner.stats_container(id))
            .await
    }

    async fn list_processes(&self, id: &ContainerId) -> Result<Vec<ProcessInfo>> {
        self.call("list_processes", self.inner.list_processes(id))
            .await
    }

    async fn exec_process(&self, process: &ProcessRef, spec: oci::Process) -> Result<()> {
        self.call("exec_process", self.inner.exec_process(process, spec))
            .await
    }

    async fn signal_process(&self, process: &ProcessRef, signal: u32) -> Result<()> {
        self.call("signal_process", self.inner.signal_process(process, signal))
            .await
    }

    async fn kill_all(&self, id: &ContainerId) -> Result<()> {
        self.call("kill_all", self.inner.kill_all(id)).await
    }

    async fn wait_process(&self, process: &ProcessRef) -> Result<ExitStatus> {
        self.call("wait_process", self.inner.wait_process(process))
            .await
    }

    async fn write_stdin(&self, process: &ProcessRef, data: Vec<u8>) -> Result<()> {
        self.call("write_stdin", self.inner.write_stdin(process, data))
            .await
    }

    async fn close_stdin(&self, process: &ProcessRef) -> Result<()> {
        self.call("close_stdin", self.inner.close_stdin(process))
            .await
    }

    async fn read_output(
        &self,
        process: &ProcessRef,
        stream: OutputStream,
        max: u32,
    ) -> Result<Option<Vec<u8>>> {
        self.call("read_output", self.inner.read_output(process, stream, max))
            .await
    }

    async fn tty_win_resize(&self, process: &ProcessRef, rows: u32, columns: u32) -> Result<()> {
        self.call(
            "tty_win_resize",
            self.inner.tty_win_resize(process, rows, columns),
        )
        .await
    }

    async fn update_interface(&self, interface: types::Interface) -> Result<types::Interface> {
        self.call("update_interface", self.inner.update_interface(interface))
            .await
    }

    async fn update_routes(&self, routes: Vec<types::Route>) -> Result<Vec<types::Route>> {
        self.call("update_routes", self.inner.update_routes(routes))
            .await
    }

    async fn list_interfaces(&self) -> Result<Vec<types::Interface>> {
        self.call("list_interfaces", self.inner.list_interfaces())
            .await
    }

    async fn list_routes(&self) -> Result<Vec<types::Route>> {
        self.call("list_routes", self.inner.list_routes()).await
    }

    async fn add_arp_neighbors(&self, neighbors: Vec<types::ARPNeighbor>) -> Result<()> {
        self.call("add_arp_neighbors", self.inner.add_arp_neighbors(neighbors))
            .await
    }

    async fn copy_file(&self, part: agent::CopyFileRequest) -> Result<()> {
        self.call("copy_file", self.inner.copy_file(part)).await
    }

    async fn get_volume_stats(&self, guest_path: &str) -> Result<csi::VolumeStatsResponse> {
        self.call("get_volume_stats", self.inner.get_volume_stats(guest_path))
            .await
    }

    async fn get_metrics(&self) -> Result<String> {
        self.call("get_metrics", self.inner.get_metrics()).await
    }
}
