//! Runs a command in a container through an agent on a unix socket, and says how long each call
//! took: `cargo run -p virtcontainers-agent --example drive -- SOCKET ROOTFS COMMAND…`
//!
//! ROOTFS is a path as the agent sees it.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::io::{stderr, stdout};
use virtcontainers_agent::spec::{self, Role, Target};
use virtcontainers_agent::streams::pump_output;
use virtcontainers_agent::{AgentEndpoint, AgentPort, OutputStream, ProcessRef, Timeouts, connect};
use virtcontainers_agent_proto::agent::{CreateContainerRequest, CreateSandboxRequest};
use virtcontainers_types::ContainerId;

/// Says how long something took.
async fn timed<T>(what: &str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = call.await;
    eprintln!(
        "{what:>8} {:8.2} ms",
        begun.elapsed().as_secs_f64() * 1000.0
    );
    result
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "give a socket, a root file system and a command";
    let (socket, root) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    let command: Vec<String> = args.collect();
    let json = serde_json::json!({
        "ociVersion": "1.2.0",
        "process": {"user": {"uid": 0, "gid": 0}, "args": command, "cwd": "/",
                    "env": ["PATH=/bin:/usr/bin:/sbin"]},
        "root": {"path": root},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    });

    let endpoint = AgentEndpoint::Unix {
        path: socket.into(),
    };
    let deadline = Duration::from_secs(10);
    let agent = timed("connect", connect(&endpoint, Timeouts::default(), deadline)).await?;
    agent.create_sandbox(CreateSandboxRequest::new()).await?;
    let details = timed("details", agent.guest_details()).await?;
    eprintln!("{} {:?}", details.facts.agent_version, details.dialect);

    let id = ContainerId::new("drive-1")?;
    let target = Target {
        id: &id,
        root: &root,
        role: Role::Single,
        dialect: details.dialect,
        seccomp: details.facts.seccomp,
        shared_shm: false,
    };
    let request = CreateContainerRequest {
        container_id: id.to_string(),
        OCI: Some(spec::container(&serde_json::from_value(json)?, &target)?.spec).into(),
        ..Default::default()
    };
    timed("create", agent.create_container(request)).await?;
    timed("start", agent.start_container(&id)).await?;
    let init = ProcessRef::init(id.clone());
    let (mut out, mut err) = (stdout(), stderr());
    let (out, err) = tokio::join!(
        pump_output(&agent, &init, OutputStream::Stdout, &mut out),
        pump_output(&agent, &init, OutputStream::Stderr, &mut err),
    );
    out.and(err)?;
    let status = timed("wait", agent.wait_process(&init)).await?;
    timed(
        "remove",
        agent.remove_container(&id, Duration::from_secs(10)),
    )
    .await?;
    agent.destroy_sandbox().await?;
    std::process::exit(status.code().into());
}
