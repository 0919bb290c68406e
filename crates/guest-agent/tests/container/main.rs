//! What a container is: its namespaces, rights, limits, mounts and files, seen from inside by
//! busybox and asked for over the agent's socket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

mod cgroups;
mod devices;
mod failures;
mod files;
#[allow(dead_code, reason = "shared with the tests of the service")]
#[path = "../service/harness.rs"]
mod harness;
mod hooks;
mod hostile;
mod identity;
mod namespaces;
mod rights;
#[allow(dead_code, reason = "shared with the tests of the service")]
#[path = "../service/spec.rs"]
mod spec;
mod terminals;

use harness::{Agent, ctx};
use tempfile::TempDir;
use virtcontainers_agent_proto::agent::CreateContainerRequest;
use virtcontainers_agent_proto::oci;

/// Creates and starts what a changed specification asks for; gives all output and the status.
async fn run(agent: &Agent, script: &str, change: impl FnOnce(&mut oci::Spec)) -> (String, i32) {
    run_process(agent, spec::sh(&format!("exec 2>&1; {script}")), change).await
}

/// As [`run`], with any process.
async fn run_process(
    agent: &Agent,
    process: oci::Process,
    change: impl FnOnce(&mut oci::Spec),
) -> (String, i32) {
    let mut request = spec::container("c1", process);
    change(request.OCI.as_mut().unwrap());
    agent.api.create_container(ctx(), &request).await.unwrap();
    agent.start_container("c1").await.unwrap();
    let output = agent.output("c1", "").await;
    let status = agent.wait("c1", "").await.unwrap();
    agent.remove("c1").await.unwrap();
    (output, status)
}

/// The refusal of a changed specification: code and text.
async fn refusal(agent: &Agent, change: impl FnOnce(&mut oci::Spec)) -> (ttrpc::Code, String) {
    let mut request = spec::container("c1", spec::sh("true"));
    change(request.OCI.as_mut().unwrap());
    refused(agent, request).await
}

async fn refused(agent: &Agent, request: CreateContainerRequest) -> (ttrpc::Code, String) {
    match agent.api.create_container(ctx(), &request).await {
        Err(ttrpc::Error::RpcStatus(status)) => (status.code.enum_value().unwrap(), status.message),
        other => panic!("not refused: {other:?}"),
    }
}

/// A root file system of a test's own, with busybox, that can be filled with anything.
fn image() -> TempDir {
    let image = tempfile::tempdir().unwrap();
    std::fs::create_dir(image.path().join("bin")).unwrap();
    let busybox = format!("{}/bin/busybox", spec::rootfs());
    std::fs::copy(busybox, image.path().join("bin/busybox")).unwrap();
    for name in ["cat", "cut", "echo", "grep", "ls", "pwd", "sh", "touch"] {
        std::os::unix::fs::symlink("busybox", image.path().join("bin").join(name)).unwrap();
    }
    image
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn mount(kind: &str, source: &str, destination: &str, options: &[&str]) -> oci::Mount {
    oci::Mount {
        destination: destination.to_owned(),
        source: source.to_owned(),
        type_: kind.to_owned(),
        options: strings(options),
        ..Default::default()
    }
}
