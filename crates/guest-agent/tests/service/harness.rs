//! Starts one agent per test in a mount namespace of its own and cleans up after it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use ttrpc::Code;
use ttrpc::asynchronous::Client;
use ttrpc::context::{self, Context};
use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::agent_ttrpc::AgentServiceClient;
use virtcontainers_agent_proto::health::CheckRequest;
use virtcontainers_agent_proto::health_ttrpc::HealthClient;

use crate::spec;

/// Longest that any one answer may take, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running agent.
pub(crate) struct Agent {
    child: Child,
    folder: TempDir,
    cgroup: PathBuf,
    pub(crate) api: AgentServiceClient,
}

impl Agent {
    /// An agent with a sandbox.
    pub(crate) async fn start() -> Self {
        let agent = Self::start_bare().await;
        agent.create_sandbox().await.unwrap();
        agent
    }

    /// An agent as it is before the first request.
    pub(crate) async fn start_bare() -> Self {
        Self::start_with(&[]).await
    }

    /// An agent in a network of its own, where there is only a loopback link.
    pub(crate) async fn start_with_network() -> Self {
        Self::start_with(&["--net"]).await
    }

    async fn start_with(namespaces: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("vc-agent-")
            .tempdir()
            .unwrap();
        let name = folder.path().file_name().unwrap();
        let cgroup = cgroup2().join(name);
        std::fs::create_dir(&cgroup).unwrap();
        let socket = folder.path().join("agent.sock");
        #[expect(clippy::disallowed_methods, reason = "a test of a program starts it")]
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(namespaces)
            .arg(env!("CARGO_BIN_EXE_vc-guest-agent"))
            .arg("--listen")
            .arg(format!("unix://{}", socket.display()))
            .arg("--run-dir")
            .arg(folder.path().join("run"))
            .arg("--cgroup-root")
            .arg(&cgroup)
            .args(["--log", "debug"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        await_listening(&mut child);
        let api = AgentServiceClient::new(connect(&socket).await);
        Self {
            child,
            folder,
            cgroup,
            api,
        }
    }

    /// A second connection to the same agent.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.folder.path().join("agent.sock")).await
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// The agent's own view of a file.
    pub(crate) fn file(&self, path: &str) -> String {
        let root = format!("/proc/{}/root{path}", self.child.id());
        std::fs::read_to_string(root).unwrap()
    }

    /// What a program of the host says in the agent's network.
    pub(crate) fn in_network(&self, command: &str) -> String {
        #[expect(clippy::disallowed_methods, reason = "a test starts tools of the host")]
        let output = Command::new("nsenter")
            .args(["--net", "--target", &self.child.id().to_string()])
            .args(command.split(' '))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// A round trip on a new connection.
    pub(crate) async fn check(&self) {
        let health = HealthClient::new(self.connect().await);
        health.check(ctx(), &CheckRequest::new()).await.unwrap();
    }

    /// Resident memory of the agent in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    pub(crate) async fn create_sandbox(&self) -> ttrpc::Result<()> {
        let request = CreateSandboxRequest {
            sandbox_id: "s1".to_owned(),
            hostname: "sandbox-host".to_owned(),
            ..Default::default()
        };
        self.api.create_sandbox(ctx(), &request).await.map(drop)
    }

    pub(crate) async fn create(&self, id: &str, process: spec::Process) -> ttrpc::Result<()> {
        self.api
            .create_container(ctx(), &spec::container(id, process))
            .await
            .map(drop)
    }

    pub(crate) async fn start_container(&self, id: &str) -> ttrpc::Result<()> {
        let request = StartContainerRequest {
            container_id: id.to_owned(),
            ..Default::default()
        };
        self.api.start_container(ctx(), &request).await.map(drop)
    }

    /// Creates and starts.
    pub(crate) async fn run(&self, id: &str, process: spec::Process) {
        self.create(id, process).await.unwrap();
        self.start_container(id).await.unwrap();
    }

    pub(crate) async fn exec(
        &self,
        id: &str,
        exec: &str,
        process: spec::Process,
    ) -> ttrpc::Result<()> {
        let request = ExecProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            process: Some(process).into(),
            ..Default::default()
        };
        self.api.exec_process(ctx(), &request).await.map(drop)
    }

    pub(crate) async fn wait(&self, id: &str, exec: &str) -> ttrpc::Result<i32> {
        let request = WaitProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..Default::default()
        };
        self.api
            .wait_process(ctx(), &request)
            .await
            .map(|reply| reply.status)
    }

    pub(crate) async fn signal(&self, id: &str, exec: &str, signal: u32) -> ttrpc::Result<()> {
        let request = SignalProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            signal,
            ..Default::default()
        };
        self.api.signal_process(ctx(), &request).await.map(drop)
    }

    pub(crate) async fn remove(&self, id: &str) -> ttrpc::Result<()> {
        let request = RemoveContainerRequest {
            container_id: id.to_owned(),
            ..Default::default()
        };
        self.api.remove_container(ctx(), &request).await.map(drop)
    }

    pub(crate) async fn write(&self, id: &str, exec: &str, data: &[u8]) -> ttrpc::Result<u32> {
        let request = WriteStreamRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            data: data.to_vec(),
            ..Default::default()
        };
        self.api
            .write_stdin(ctx(), &request)
            .await
            .map(|reply| reply.len)
    }

    pub(crate) async fn read(&self, id: &str, exec: &str) -> ttrpc::Result<Vec<u8>> {
        self.api
            .read_stdout(ctx(), &read(id, exec))
            .await
            .map(|reply| reply.data)
    }

    /// Standard output to its end.
    pub(crate) async fn output(&self, id: &str, exec: &str) -> String {
        let mut all = Vec::new();
        loop {
            let data = self.read(id, exec).await.unwrap();
            if data.is_empty() {
                return String::from_utf8_lossy(&all).into_owned();
            }
            all.extend(data);
        }
    }

    /// Standard error to its end.
    pub(crate) async fn errors(&self, id: &str, exec: &str) -> String {
        let mut all = Vec::new();
        loop {
            let data = self
                .api
                .read_stderr(ctx(), &read(id, exec))
                .await
                .unwrap()
                .data;
            if data.is_empty() {
                return String::from_utf8_lossy(&all).into_owned();
            }
            all.extend(data);
        }
    }

    /// Waits until standard output has said `marker`.
    pub(crate) async fn until(&self, id: &str, exec: &str, marker: &str) -> String {
        let mut all = String::new();
        while !all.contains(marker) {
            let data = self.read(id, exec).await.unwrap();
            assert!(
                !data.is_empty(),
                "the output ended before {marker:?}: {all:?}"
            );
            all += &String::from_utf8_lossy(&data);
        }
        all
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // What containers are left goes with their cgroup; the mounts go with the namespace.
        drop(std::fs::write(self.cgroup.join("cgroup.kill"), "1"));
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        if !std::thread::panicking() {
            assert!(
                status.signal() == Some(9) || status.success(),
                "the agent ended by itself: {status}"
            );
        }
        remove_cgroups(&self.cgroup);
    }
}

/// Removes a tree of cgroups; their last processes may still be on their way out.
fn remove_cgroups(cgroup: &Path) {
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroups(&entry.path());
        }
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while std::fs::remove_dir(cgroup).is_err_and(|error| error.raw_os_error() == Some(16)) {
        assert!(
            std::time::Instant::now() < deadline,
            "{} stays busy",
            cgroup.display()
        );
        std::thread::yield_now();
    }
}

/// Where this machine has cgroup v2.
fn cgroup2() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .filter(|line| line.contains(" - cgroup2 "))
        .find_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .expect("these tests need a mounted cgroup v2 hierarchy")
}

async fn connect(socket: &Path) -> Client {
    Client::connect(&format!("unix://{}", socket.display()))
        .await
        .unwrap()
}

/// Waits until the agent says that it listens; passes on what else it says.
fn await_listening(child: &mut Child) {
    let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
    let listening = words
        .by_ref()
        .map_while(Result::ok)
        .inspect(|line| eprintln!("{line}"))
        .any(|line| line.contains("listening on"));
    assert!(listening, "the agent has ended before it listened");
    std::thread::spawn(move || {
        words
            .map_while(Result::ok)
            .for_each(|line| eprintln!("{line}"))
    });
}

pub(crate) fn ctx() -> Context {
    context::with_duration(PATIENCE)
}

pub(crate) fn read(id: &str, exec: &str) -> ReadStreamRequest {
    ReadStreamRequest {
        container_id: id.to_owned(),
        exec_id: exec.to_owned(),
        len: 64 * 1024,
        ..Default::default()
    }
}

/// The status code of a call, 0 for success.
pub(crate) fn code<T>(result: ttrpc::Result<T>) -> Code {
    match result {
        Ok(_) => Code::OK,
        Err(ttrpc::Error::RpcStatus(status)) => status.code.enum_value().unwrap(),
        Err(other) => panic!("no status but {other}"),
    }
}
