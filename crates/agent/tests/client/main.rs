//! The client against the strict fake agent, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod calls;
mod connecting;
mod ours;
mod replay;
mod spans;
mod streaming;

use std::time::Duration;

use tokio::net::UnixStream;
use virtcontainers_agent::spec::{self, Dialect, Role, Target};
use virtcontainers_agent::{Agent, AgentPort, ProcessRef, Timeouts};
use virtcontainers_agent_proto::{agent, oci};
use virtcontainers_testkit::agent::FakeAgent;
use virtcontainers_types::{ContainerId, ExecId};

const SOON: Duration = Duration::from_secs(20);

fn id(text: &str) -> ContainerId {
    ContainerId::new(text).unwrap()
}

fn init(container: &str) -> ProcessRef {
    ProcessRef::init(id(container))
}

fn exec(container: &str, exec: &str) -> ProcessRef {
    ProcessRef::exec_of(id(container), ExecId::new(exec).unwrap())
}

/// A client of the fake over one half of a socket pair, checked and with a sandbox.
async fn client(fake: &FakeAgent) -> Agent {
    let (ours, theirs) = UnixStream::pair().unwrap();
    fake.serve_stream(theirs);
    let agent = Agent::over(ours, Timeouts::all(SOON));
    agent.check().await.unwrap();
    agent
}

async fn sandbox(fake: &FakeAgent) -> Agent {
    let agent = client(fake).await;
    let request = agent::CreateSandboxRequest {
        sandbox_id: "s1".to_owned(),
        hostname: "s1".to_owned(),
        ..Default::default()
    };
    agent.create_sandbox(request).await.unwrap();
    agent
}

/// A specification as a caller has it, with the program and nothing else of interest.
fn oci_spec(args: &[&str], terminal: bool) -> oci_spec::runtime::Spec {
    let json = serde_json::json!({
        "ociVersion": "1.2.0",
        "process": {"user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/", "terminal": terminal},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "mount"}]},
    });
    serde_json::from_value(json).unwrap()
}

fn create_request(container: &str, args: &[&str], terminal: bool) -> agent::CreateContainerRequest {
    let container = id(container);
    let target = Target {
        id: &container,
        root: "/run/kata-containers/shared/containers/c1/rootfs",
        role: Role::Single,
        dialect: Dialect::Kata,
        seccomp: true,
        shared_shm: false,
    };
    let guest = spec::container(&oci_spec(args, terminal), &target).unwrap();
    agent::CreateContainerRequest {
        container_id: container.to_string(),
        OCI: Some(guest.spec).into(),
        ..Default::default()
    }
}

fn process(args: &[&str], terminal: bool) -> oci::Process {
    let spec = oci_spec(args, terminal);
    let process = spec.process().as_ref().unwrap();
    spec::exec(process, Dialect::Kata).unwrap().0
}

/// Creates and starts a container.
async fn run(agent: &Agent, container: &str, args: &[&str], terminal: bool) -> ProcessRef {
    let request = create_request(container, args, terminal);
    agent.create_container(request).await.unwrap();
    agent.start_container(&id(container)).await.unwrap();
    init(container)
}
