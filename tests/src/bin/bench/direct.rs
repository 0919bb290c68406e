//! The guest agent on the host: in a mount namespace of its own, on a unix socket.
#![expect(
    clippy::disallowed_methods,
    reason = "what is measured is this program"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use virtcontainers_agent::{
    Agent, AgentEndpoint, AgentPort, ProcessRef, Timeouts, connect_with_retry,
};
use virtcontainers_agent_proto::agent::{CreateContainerRequest, CreateSandboxRequest};
use virtcontainers_types::{ContainerId, ExecId};

use crate::bundle;
use crate::setting::PATIENCE;

/// Longer than a removal takes.
const REMOVAL: Duration = Duration::from_secs(30);

/// A running agent with a sandbox. Dropped, it ends with all that it started.
#[derive(Debug)]
pub(crate) struct Direct {
    child: Child,
    cgroup: PathBuf,
    agent: Agent,
    rootfs: String,
}

/// The times of one container's life.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) create: Duration,
    pub(crate) start: Duration,
    pub(crate) wait: Duration,
    pub(crate) remove: Duration,
}

/// The times of one more process.
#[derive(Debug, Default)]
pub(crate) struct Exec {
    pub(crate) exec: Duration,
    pub(crate) wait: Duration,
}

impl Direct {
    /// Starts `program`, which works in `folder`. Needs cgroup v2, mounted anywhere.
    pub(crate) async fn start(program: &Path, folder: &Path, rootfs: &Path) -> Result<Self> {
        let cgroup = unified_hierarchy()?.join(folder.file_name().context("a folder has a name")?);
        fs::create_dir(&cgroup)?;
        let socket = folder.join("agent.sock");
        let spawned = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(program)
            .args(["--listen", &format!("unix://{}", socket.display())])
            .arg("--run-dir")
            .arg(folder.join("run"))
            .arg("--cgroup-root")
            .arg(&cgroup)
            .stdin(Stdio::null())
            .spawn();
        let mut child = spawned.inspect_err(|_| remove_directory(&cgroup))?;
        let endpoint = AgentEndpoint::Unix { path: socket };
        let never = std::future::pending();
        let connected = connect_with_retry(&endpoint, Timeouts::default(), PATIENCE, never);
        let direct = match connected.await {
            Ok(agent) => Self {
                child,
                cgroup,
                agent,
                rootfs: rootfs.display().to_string(),
            },
            Err(error) => {
                end(&mut child, &cgroup);
                return Err(error.into());
            }
        };
        let sandbox = CreateSandboxRequest {
            sandbox_id: "bench".to_owned(),
            ..CreateSandboxRequest::default()
        };
        direct.agent.create_sandbox(sandbox).await?;
        Ok(direct)
    }

    /// One container from its creation to its removal.
    pub(crate) async fn life(&self, id: &str) -> Result<Life> {
        let id = ContainerId::new(id)?;
        let mut lap = Lap::start();
        self.create(&id, &["/bin/true"]).await?;
        let create = lap.time();
        self.agent.start_container(&id).await?;
        let start = lap.time();
        let status = self
            .agent
            .wait_process(&ProcessRef::init(id.clone()))
            .await?;
        anyhow::ensure!(status.0 == 0, "status {}", status.0);
        let wait = lap.time();
        self.agent.remove_container(&id, REMOVAL).await?;
        let remove = lap.time();
        Ok(Life {
            create,
            start,
            wait,
            remove,
        })
    }

    /// A container that stays.
    pub(crate) async fn keep(&self, id: &str) -> Result<ContainerId> {
        let id = ContainerId::new(id)?;
        self.create(&id, &["/bin/sleep", "1000"]).await?;
        self.agent.start_container(&id).await?;
        Ok(id)
    }

    /// Removes a container that stayed.
    pub(crate) async fn remove(&self, id: &ContainerId) -> Result<()> {
        Ok(self.agent.remove_container(id, REMOVAL).await?)
    }

    /// One more process in a container.
    pub(crate) async fn exec(&self, id: &ContainerId, exec: &str) -> Result<Exec> {
        let process = ProcessRef::exec_of(id.clone(), ExecId::new(exec)?);
        let spec = bundle::process(&["/bin/true"]);
        let mut lap = Lap::start();
        self.agent.exec_process(&process, spec).await?;
        let exec = lap.time();
        let status = self.agent.wait_process(&process).await?;
        anyhow::ensure!(status.0 == 0, "status {}", status.0);
        let wait = lap.time();
        Ok(Exec { exec, wait })
    }

    async fn create(&self, id: &ContainerId, args: &[&str]) -> Result<()> {
        let request = CreateContainerRequest {
            container_id: id.to_string(),
            OCI: Some(bundle::spec(&self.rootfs, args)).into(),
            ..CreateContainerRequest::default()
        };
        Ok(self.agent.create_container(request).await?)
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        end(&mut self.child, &self.cgroup);
    }
}

impl Life {
    /// All calls together.
    pub(crate) fn whole(&self) -> Duration {
        self.create + self.start + self.wait + self.remove
    }
}

impl Exec {
    /// Both calls together.
    pub(crate) fn whole(&self) -> Duration {
        self.exec + self.wait
    }
}

/// A clock for one step after the other.
struct Lap(Instant);

impl Lap {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn time(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}

/// Kills the agent and its containers, and removes its cgroup.
fn end(child: &mut Child, cgroup: &Path) {
    let ended = fs::write(cgroup.join("cgroup.kill"), "1")
        .and_then(|()| child.kill())
        .and_then(|()| child.wait());
    if let Err(error) = ended {
        eprintln!("bench: the agent does not end: {error}");
    }
    remove_directory(cgroup);
}

fn remove_directory(cgroup: &Path) {
    if let Err(error) = fs::remove_dir(cgroup) {
        eprintln!("bench: {} is left: {error}", cgroup.display());
    }
}

/// Where cgroup v2 is mounted.
fn unified_hierarchy() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let unified = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let place = unified.and_then(|line| line.split(' ').nth(4));
    Ok(place.context("cgroup v2 is mounted nowhere")?.into())
}
