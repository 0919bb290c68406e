//! What the agent was told at its start: from the kernel command line when it is the guest's init,
//! from program arguments when it runs on a host for tests.

use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

pub(crate) mod cmdline;
pub(crate) mod options;

/// Everything that can be set. Complete after start; nothing reads the command line later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Address of the ttrpc listener: `vsock://CID:PORT` (CID -1 is any) or `unix:///PATH`.
    pub(crate) listen: String,
    /// Folder of bundles and sandbox mounts.
    pub(crate) run_dir: PathBuf,
    /// Folder that keeps the sandbox's namespaces alive by bind mounts.
    pub(crate) namespace_dir: PathBuf,
    /// Where the cgroup v2 hierarchy of the containers begins.
    pub(crate) cgroup_root: PathBuf,
    /// The agent is PID 1 of a guest: it sets the machine up and powers it off.
    pub(crate) init: bool,
    /// What is logged.
    pub(crate) log_level: LevelFilter,
    /// vsock port of the log stream; 0 logs to the console.
    pub(crate) log_vport: u32,
    /// Whether a debug shell may be opened at all.
    pub(crate) debug_console: bool,
    /// vsock port of the debug shell; 0 puts it on the console.
    pub(crate) debug_console_vport: u32,
    /// How long a device may take to appear.
    pub(crate) hotplug_timeout: Duration,
    /// Size asked for the pipes of containers, in bytes; 0 leaves them and grows them on demand.
    pub(crate) container_pipe_size: u32,
    /// vsock port of the host that is told when the agent listens; 0 tells nobody.
    pub(crate) announce_vport: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: format!("vsock://-1:{}", virtcontainers_agent_proto::AGENT_PORT),
            run_dir: PathBuf::from("/run/kata-containers"),
            namespace_dir: PathBuf::from("/var/run/sandbox-ns"),
            cgroup_root: PathBuf::from("/sys/fs/cgroup"),
            init: false,
            log_level: LevelFilter::Warn,
            log_vport: 0,
            debug_console: false,
            debug_console_vport: 0,
            // kata-agent has 3 s, which an emulated guest on a busy host may take.
            hotplug_timeout: Duration::from_secs(10),
            container_pipe_size: 0,
            announce_vport: 0,
        }
    }
}

impl Config {
    /// The folder that is shared with the host, the only place where `CopyFile` writes.
    pub(crate) fn shared_dir(&self) -> PathBuf {
        self.run_dir.join("shared/containers")
    }

    /// The folder of one container: its bundle.
    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        self.run_dir.join(id)
    }
}
