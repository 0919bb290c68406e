//! The agent, as a client of its protocol calls it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ttrpc::asynchronous::Client;
use ttrpc::context::{self, Context};
use virtcontainers_agent_proto::agent::{
    CreateContainerRequest, CreateSandboxRequest, ExecProcessRequest, RemoveContainerRequest,
    StartContainerRequest, WaitProcessRequest,
};
use virtcontainers_agent_proto::agent_ttrpc::AgentServiceClient;

use crate::bundle;

/// A running agent with a sandbox.
pub(crate) struct Agent {
    child: Child,
    cgroup: PathBuf,
    api: AgentServiceClient,
}

fn ctx() -> Context {
    context::with_duration(Duration::from_secs(30))
}

impl Agent {
    pub(crate) async fn start(folder: &Path) -> Self {
        let program = std::env::var("VC_BENCH_AGENT")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_vc-guest-agent").to_owned());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let cgroups = mounts
            .lines()
            .find(|line| line.contains(" - cgroup2 "))
            .unwrap();
        let cgroup =
            Path::new(cgroups.split(' ').nth(4).unwrap()).join(folder.file_name().unwrap());
        std::fs::create_dir(&cgroup).unwrap();
        let socket = format!("unix://{}", folder.join("agent.sock").display());
        #[expect(
            clippy::disallowed_methods,
            reason = "what is measured is this program"
        )]
        let mut child = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                &program,
                "--listen",
                &socket,
            ])
            .args(["--log", "info"])
            .arg("--run-dir")
            .arg(folder.join("run"))
            .arg("--cgroup-root")
            .arg(&cgroup)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = |line: std::io::Result<String>| line.unwrap().contains("listening on");
        assert!(words.any(listens), "the agent does not listen");
        std::thread::spawn(move || words.for_each(drop));
        let api = AgentServiceClient::new(Client::connect(&socket).await.unwrap());
        let sandbox = CreateSandboxRequest {
            sandbox_id: "s".to_owned(),
            ..Default::default()
        };
        api.create_sandbox(ctx(), &sandbox).await.unwrap();
        Self { child, cgroup, api }
    }

    async fn create(&self, id: &str, rootfs: &str, args: &[&str]) {
        let create = CreateContainerRequest {
            container_id: id.to_owned(),
            OCI: Some(bundle::spec(rootfs, args)).into(),
            ..Default::default()
        };
        self.api.create_container(ctx(), &create).await.unwrap();
    }

    async fn run(&self, id: &str) {
        let start = StartContainerRequest {
            container_id: id.to_owned(),
            ..Default::default()
        };
        self.api.start_container(ctx(), &start).await.unwrap();
    }

    async fn wait(&self, id: &str, exec: &str) {
        let wait = WaitProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..Default::default()
        };
        assert_eq!(self.api.wait_process(ctx(), &wait).await.unwrap().status, 0);
    }

    pub(crate) async fn remove(&self, id: &str) {
        let remove = RemoveContainerRequest {
            container_id: id.to_owned(),
            ..Default::default()
        };
        self.api.remove_container(ctx(), &remove).await.unwrap();
    }

    /// Time of the creation, and of create + start + wait + remove.
    pub(crate) async fn life(&self, id: &str, rootfs: &str) -> (Duration, Duration) {
        let begin = Instant::now();
        self.create(id, rootfs, &["/bin/true"]).await;
        let created = begin.elapsed();
        self.run(id).await;
        self.wait(id, "").await;
        self.remove(id).await;
        (created, begin.elapsed())
    }

    /// A container for execs.
    pub(crate) async fn keep(&self, id: &str, rootfs: &str) {
        self.create(id, rootfs, &["/bin/sleep", "1000"]).await;
        self.run(id).await;
    }

    /// exec + wait.
    pub(crate) async fn exec(&self, id: &str, exec: &str) -> Duration {
        let begin = Instant::now();
        let request = ExecProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            process: Some(bundle::process(&["/bin/true"])).into(),
            ..Default::default()
        };
        self.api.exec_process(ctx(), &request).await.unwrap();
        self.wait(id, exec).await;
        begin.elapsed()
    }

    /// Resident and proportional memory of the agent and of its spawner.
    pub(crate) fn memory(&self) -> String {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let one = |pid: &str| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
            let field = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name)).unwrap();
                line.split_whitespace().nth(1).unwrap().to_owned()
            };
            format!("{} kB (share {} kB)", field("Rss:"), field("Pss:"))
        };
        let all: Vec<String> = std::iter::once(id.to_string())
            .chain(children.split_whitespace().map(str::to_owned))
            .map(|pid| one(&pid))
            .collect();
        all.join(" + ")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        std::fs::write(self.cgroup.join("cgroup.kill"), "1").ok();
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir(&self.cgroup).ok();
    }
}
