//! The runtime against the strict fake agent, which enforces the order of calls and the trap list
//! of the protocol: as kata-agent 4.1, and as ours.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use virtcontainers_oci::{CommandLine, container_spec, exec_process};
use virtcontainers_runtime::{
    ContainerIo, CreateOptions, ErrorKind, ExecRequest, Runtime, RuntimeOptions,
};
use virtcontainers_testkit::agent::{FakeAgent, Fault, Flavor, Output, Program};
use virtcontainers_testkit::hypervisor::{FakeBackend, Power};
use virtcontainers_testkit::sample;
use virtcontainers_types::{
    ContainerConfig, ContainerId, ExitStatus, Lifetime, NetworkConfig, SandboxConfig, SandboxId,
    SandboxState,
};

/// Everything of one test; the sandbox's name is unique on the host, as its namespace has it.
struct Stage {
    directory: tempfile::TempDir,
    agent: FakeAgent,
    backend: FakeBackend,
    runtime: Runtime,
    name: String,
}

impl Stage {
    fn new(name: &str, flavor: Flavor) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        let agent = FakeAgent::builder()
            .flavor(flavor)
            .program(
                "hello",
                Program::new().stdout("hello\n").stderr("oops\n").exit(3),
            )
            .program("flood", Program::new().flood(Output::Stdout, 4 << 20))
            .program("cat", Program::new().cat())
            .program("sleep", Program::new().block())
            .build();
        agent.serve_unix(&socket).unwrap();
        let backend = FakeBackend::new(&socket);
        let options = RuntimeOptions::new(directory.path().join("state"));
        let runtime = Runtime::new(options, Arc::new(backend.clone())).unwrap();
        let name = format!("{name}-{}", std::process::id());
        Self {
            directory,
            agent,
            backend,
            runtime,
            name,
        }
    }

    fn config(&self, command: &str) -> SandboxConfig {
        let rootfs = self.directory.path().join("rootfs");
        std::fs::create_dir_all(&rootfs).unwrap();
        let command = CommandLine {
            args: vec![command.to_owned()],
            ..CommandLine::default()
        };
        let id = ContainerId::new(&self.name).unwrap();
        let container = ContainerConfig {
            id: id.clone(),
            spec: container_spec(&command, &rootfs, &[]),
            rootfs: rootfs.into(),
            bundle: None,
            cgroup: None,
        };
        SandboxConfig {
            network: NetworkConfig::default(),
            lifetime: Lifetime::FirstContainer,
            ..sample::sandbox(id.into(), vec![container])
        }
    }

    fn id(&self) -> SandboxId {
        SandboxId::new(&self.name).unwrap()
    }

    /// Fails if the agent was mistreated, or something is left on the host.
    fn assert_clean(&self) {
        self.agent.assert_clean();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&self.name), "a mount is left");
        let namespace = Path::new("/run/netns").join(format!("vc-{}", self.name));
        assert!(!namespace.exists(), "the namespace is left");
        if let Some(machine) = self.backend.machine(&self.id()) {
            assert_eq!(machine.power(), Power::Ended, "the machine is left");
        }
    }
}

fn pipe() -> (File, OwnedFd) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (read.into(), write)
}

async fn read(mut from: File) -> Vec<u8> {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
    .await
    .unwrap()
}

async fn runs_to_its_end(flavor: Flavor, name: &str) {
    let stage = Stage::new(name, flavor);
    let (stdout, stdout_end) = pipe();
    let (stderr, stderr_end) = pipe();
    let io = ContainerIo::new(None, Some(stdout_end), Some(stderr_end));
    let options = CreateOptions {
        io,
        ..CreateOptions::default()
    };
    let sandbox = stage
        .runtime
        .run_sandbox(stage.config("hello"), options)
        .await
        .unwrap();
    assert_eq!(sandbox.wait().await.unwrap(), ExitStatus(3));
    assert_eq!(read(stdout).await, b"hello\n");
    assert_eq!(read(stderr).await, b"oops\n");
    sandbox.delete(false).await.unwrap();
    stage.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_to_its_end_under_kata_agent() {
    runs_to_its_end(Flavor::Kata, "kata").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_to_its_end_under_our_agent() {
    runs_to_its_end(Flavor::Exact, "exact").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_complete_before_the_status() {
    for (flavor, name) in [(Flavor::Kata, "flood-kata"), (Flavor::Exact, "flood-exact")] {
        let stage = Stage::new(name, flavor);
        let (stdout, end) = pipe();
        let io = ContainerIo::new(None, Some(end), None);
        let options = CreateOptions {
            io,
            ..CreateOptions::default()
        };
        let sandbox = stage
            .runtime
            .run_sandbox(stage.config("flood"), options)
            .await
            .unwrap();
        let (status, output) = tokio::join!(sandbox.wait(), read(stdout));
        assert_eq!(status.unwrap(), ExitStatus(0));
        assert_eq!(output.len(), 4 << 20);
        assert!(
            output
                .iter()
                .zip(0_u64..)
                .all(|(byte, n)| u64::from(*byte) == n % 251)
        );
        sandbox.delete(false).await.unwrap();
        stage.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_and_execs_keep_the_protocols_order() {
    let stage = Stage::new("steps", Flavor::Kata);
    let config = stage.config("sleep");
    let container = config.containers[0].id.clone();
    let sandbox = stage
        .runtime
        .create_sandbox(config, CreateOptions::default())
        .await
        .unwrap();
    sandbox.start().await.unwrap();
    let exec = |command: &str, io| ExecRequest {
        container: container.clone(),
        process: exec_process(&CommandLine {
            args: vec![command.to_owned()],
            ..CommandLine::default()
        }),
        io,
    };
    let (stdout, end) = pipe();
    let io = ContainerIo::new(None, Some(end), None);
    let process = sandbox.enter_container(exec("hello", io)).await.unwrap();
    assert_eq!(process.wait().await.unwrap(), ExitStatus(3));
    assert_eq!(read(stdout).await, b"hello\n");

    let missing = sandbox
        .enter_container(exec("nosuch", ContainerIo::default()))
        .await
        .unwrap_err();
    assert_eq!(missing.exit_status(), Some(ExitStatus::NOT_FOUND));

    sandbox.kill_container(&container, 15, false).await.unwrap();
    assert_eq!(sandbox.wait().await.unwrap(), ExitStatus(143));
    sandbox.delete(false).await.unwrap();
    stage.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_crashes_fails_its_sandbox() {
    let stage = Stage::new("crash", Flavor::Exact);
    let options = CreateOptions::default();
    let sandbox = stage
        .runtime
        .run_sandbox(stage.config("sleep"), options)
        .await
        .unwrap();
    stage.backend.machine(&stage.id()).unwrap().crash();
    let error = sandbox.wait().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gone);
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Failed);
    sandbox.delete(false).await.unwrap();
    stage.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_that_never_come_do_not_stop_a_kill_or_a_stop() {
    for stop in [false, true] {
        let stage = Stage::new(&format!("silence-{stop}"), Flavor::Exact);
        let config = stage.config("sleep");
        let container = config.containers[0].id.clone();
        let options = CreateOptions::default();
        let sandbox = stage.runtime.run_sandbox(config, options).await.unwrap();
        stage.agent.on("StatsContainer", Fault::Silence);
        let other = stage.runtime.fetch_sandbox(&stage.id()).await.unwrap();
        let asked = container.clone();
        let asking = tokio::spawn(async move { other.stats_container(&asked).await });
        let is_asked = || {
            stage
                .agent
                .calls()
                .iter()
                .any(|call| call.contains("Stats"))
        };
        while !is_asked() {
            tokio::task::yield_now().await;
        }
        if stop {
            sandbox.stop(false).await.unwrap();
        } else {
            sandbox.kill_container(&container, 9, true).await.unwrap();
            assert_eq!(sandbox.wait().await.unwrap(), ExitStatus(137));
        }
        assert!(!asking.is_finished(), "the counters came");
        asking.abort();
        sandbox.delete(false).await.unwrap();
        stage.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_agent_refuses_leaves_nothing() {
    let stage = Stage::new("refused", Flavor::Kata);
    let options = CreateOptions::default();
    let error = stage
        .runtime
        .run_sandbox(stage.config("nosuch"), options)
        .await
        .unwrap_err();
    assert_eq!(error.exit_status(), Some(ExitStatus::NOT_FOUND));
    assert!(error.boot_report().is_some());
    let unknown = stage.runtime.status_sandbox(&stage.id()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    stage.assert_clean();
}
