//! The agent as the rest of the runtime sees it: one method for each thing a guest is asked.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use virtcontainers_agent_proto::{agent, csi, oci, types};
use virtcontainers_types::{ContainerId, ExitStatus};

use crate::details::{GuestDetails, Version};
use crate::error::Result;
use crate::listing::ProcessInfo;
use crate::process::{OutputStream, ProcessRef};

/// The agent of one guest.
///
/// Every call that is sent is carried to its end even when its future is dropped: the connection
/// stays usable, the reply is thrown away. Dropping is therefore safe for the connection, and for
/// calls that only ask; after dropping [`read_output`](Self::read_output), output may be lost.
///
/// All methods fail with `Gone` when the connection has ended, `Timeout` when the call's deadline
/// passed, `Denied` when a policy in the guest forbids it, `Unsupported` when the agent does not
/// know the call, `Invalid` and `WrongState` when a check on this side refused it before it was
/// sent, `Internal` when the agent failed. Further kinds are named at the method.
///
/// Where a method says *no deadline*, it waits until the agent answers or the connection ends.
#[async_trait]
pub trait AgentPort: fmt::Debug + Send + Sync {
    /// Waits until the connection has ended, for whatever reason. Sends nothing. *No deadline.*
    async fn closed(&self);

    /// Tells this connection of a process that was started over another one, so that the checks
    /// know whether it has a terminal and whether its container was started. Sends nothing.
    fn adopt(&self, process: &ProcessRef, terminal: bool, started: bool);

    /// Tells this connection that the guest has no such container, or another of that id, whatever
    /// it knew of it: other connections may have removed the one and created the other. Sends
    /// nothing.
    fn forget(&self, container: &ContainerId);

    /// Asks the health service whether the agent serves.
    async fn check(&self) -> Result<()>;

    /// Asks which protocol and release the agent speaks.
    async fn version(&self) -> Result<Version>;

    /// Sets up what all containers share. Once in a guest's life, before any container; never
    /// repeated, because a repetition wipes the guest's state (`WrongState`).
    async fn create_sandbox(&self, request: agent::CreateSandboxRequest) -> Result<()>;

    /// Ends all containers and the agent. The guest may be gone before it can reply: that is
    /// success.
    async fn destroy_sandbox(&self) -> Result<()>;

    /// Asks what guest and agent are and can do.
    async fn guest_details(&self) -> Result<GuestDetails>;

    /// Sets the guest's clock.
    async fn set_guest_date_time(&self, time: SystemTime) -> Result<()>;

    /// Feeds the guest's random number generator. `data` must not be empty.
    async fn reseed_random_dev(&self, data: Vec<u8>) -> Result<()>;

    /// Replaces the agent's policy. Before any other call, if at all.
    async fn set_policy(&self, policy: String) -> Result<()>;

    /// Waits for the next container that runs out of memory; `None` when the sandbox ends.
    /// One call at a time. *No deadline.*
    async fn get_oom_event(&self) -> Result<Option<String>>;

    /// Brings processors online until there are `cpus` in all (0 leaves them alone) and, unless
    /// `cpu_only`, all memory.
    async fn online_cpu_mem(&self, cpus: u32, cpu_only: bool) -> Result<()>;

    /// Prepares a container; its program is held back. `AlreadyExists` for an id that this
    /// connection has used before, because a repetition kills the running container. After a
    /// failure the id is spent.
    async fn create_container(&self, request: agent::CreateContainerRequest) -> Result<()>;

    /// Lets the container's program run. Once: a second start blocks a kata-agent for ever
    /// (`WrongState`).
    async fn start_container(&self, id: &ContainerId) -> Result<()>;

    /// Kills what is left of the container and forgets it. After `timeout` (whole seconds, at
    /// least one) the agent answers with an error and goes on removing.
    async fn remove_container(&self, id: &ContainerId, timeout: Duration) -> Result<()>;

    /// Freezes all processes of the container.
    async fn pause_container(&self, id: &ContainerId) -> Result<()>;

    /// Thaws a paused container.
    async fn resume_container(&self, id: &ContainerId) -> Result<()>;

    /// Applies new limits to the container.
    async fn update_container(
        &self,
        id: &ContainerId,
        resources: oci::LinuxResources,
    ) -> Result<()>;

    /// Reads the container's counters. The numbers come from the guest;
    /// [`stats::container`](crate::stats::container) makes the library's own type of them.
    async fn stats_container(&self, id: &ContainerId) -> Result<agent::StatsContainerResponse>;

    /// Lists what runs in the container, however it was started. `Unsupported` when the agent is
    /// not ours (`LIST_PROCESSES_FEATURE` of agent-proto is the word in its features).
    async fn list_processes(&self, id: &ContainerId) -> Result<Vec<ProcessInfo>>;

    /// Starts one more process in a container, at once. `process` must have an exec id.
    /// `AlreadyExists` for an exec id in use;
    /// [`is_program_not_found`](crate::Error::is_program_not_found) tells a missing program.
    async fn exec_process(&self, process: &ProcessRef, spec: oci::Process) -> Result<()>;

    /// Sends a signal to one process. A process that has ended already is success.
    async fn signal_process(&self, process: &ProcessRef, signal: u32) -> Result<()>;

    /// Sends SIGKILL to all processes of a container, however they were started.
    async fn kill_all(&self, id: &ContainerId) -> Result<()>;

    /// Waits for the end of a process. The first answer makes the agent forget the process and
    /// close its pipes: read its output to the end first, or at the same time. The status is kept
    /// here, so a repetition gives the same. *No deadline.* `NotFound` for a process that the
    /// agent does not know.
    async fn wait_process(&self, process: &ProcessRef) -> Result<ExitStatus>;

    /// Writes to a process's standard input; at most 1 MiB, not empty. *No deadline*: it waits
    /// while the pipe is full. `NotFound` when the process or its input is gone.
    async fn write_stdin(&self, process: &ProcessRef, data: Vec<u8>) -> Result<()>;

    /// Closes a process's standard input. Of a process with a terminal it must stay open
    /// (`WrongState`): closing would hang up. Send the terminal's end-of-file character.
    async fn close_stdin(&self, process: &ProcessRef) -> Result<()>;

    /// Reads at most `max` bytes (1 to 1 MiB) of a process's output; waits until there is some.
    /// `None` is the end of the stream, at once for standard error of a process with a terminal.
    /// One call at a time for each stream. *No deadline.*
    async fn read_output(
        &self,
        process: &ProcessRef,
        stream: OutputStream,
        max: u32,
    ) -> Result<Option<Vec<u8>>>;

    /// Sets the size of a process's terminal; after its start.
    async fn tty_win_resize(&self, process: &ProcessRef, rows: u32, columns: u32) -> Result<()>;

    /// Configures one link, found by its hardware address; tries again for a second while the
    /// guest has not found the device yet. With a `devicePath` the guest itself waits for the device
    /// there, for its hotplug time-out; our own then takes the link at the path, and leaves a link
    /// as it was when it fails.
    async fn update_interface(&self, interface: types::Interface) -> Result<types::Interface>;

    /// Adds routes in the place of those to the same destination, those without a gateway first;
    /// gives the routes there are. Our own guest sets all or none.
    async fn update_routes(&self, routes: Vec<types::Route>) -> Result<Vec<types::Route>>;

    /// Lists all links.
    async fn list_interfaces(&self) -> Result<Vec<types::Interface>>;

    /// Lists the main routing table.
    async fn list_routes(&self) -> Result<Vec<types::Route>>;

    /// Adds static neighbours, in the place of those with the same address. Our own guest adds all
    /// or none.
    async fn add_arp_neighbors(&self, neighbors: Vec<types::ARPNeighbor>) -> Result<()>;

    /// Sends one part of a file, at most 1 MiB; see [`copy`](crate::copy) for whole files.
    async fn copy_file(&self, part: agent::CopyFileRequest) -> Result<()>;

    /// Asks how full a volume is; `guest_path` is outside any container.
    async fn get_volume_stats(&self, guest_path: &str) -> Result<csi::VolumeStatsResponse>;

    /// Reads metrics of agent and guest, in the text format of Prometheus.
    async fn get_metrics(&self) -> Result<String>;
}
