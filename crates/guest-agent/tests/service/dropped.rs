//! Connections that end in the middle of a request.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use protobuf::Message;
use ttrpc::proto::Request;
use virtcontainers_agent_proto::agent::*;

use crate::harness::{Agent, PATIENCE, read};
use crate::spec::{self, sh};

/// Sends a request on a connection of its own, byte by byte known to be on its way.
fn send(agent: &Agent, method: &str, request: &impl Message, timeout: Duration) -> UnixStream {
    let envelope = Request {
        service: "grpc.AgentService".to_owned(),
        method: method.to_owned(),
        payload: request.write_to_bytes().unwrap(),
        timeout_nano: timeout.as_nanos() as i64,
        ..Default::default()
    };
    let body = envelope.write_to_bytes().unwrap();
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend([0, 0, 0, 1, 1, 0]);
    frame.extend(body);
    let mut socket = UnixStream::connect(agent.socket()).unwrap();
    socket.write_all(&frame).unwrap();
    socket
}

/// Sends a request and hangs up without waiting for the reply.
async fn send_and_hang_up(agent: &Agent, method: &str, request: &impl Message) {
    drop(send(agent, method, request, Duration::ZERO));
    // An answer on another connection that was opened later: the first one has been seen.
    agent.check().await;
}

fn wait_for_init() -> WaitProcessRequest {
    WaitProcessRequest {
        container_id: "c1".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_creation_is_finished() {
    let agent = Agent::start().await;
    for number in 0..20 {
        let id = format!("c{number}");
        let request = spec::container(&id, sh("exit 3"));
        send_and_hang_up(&agent, "CreateContainer", &request).await;
        // The name is taken or the container is there, and soon it is there.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while agent.start_container(&id).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "{id} is half made");
        }
        assert_eq!(agent.wait(&id, "").await.unwrap(), 3);
        agent.remove(&id).await.unwrap();
        assert!(!agent.run_dir().join(&id).exists());
    }
}

#[tokio::test]
async fn a_reader_that_has_gone_takes_no_output() {
    let agent = Agent::start().await;
    agent.run("c1", sh("read go; echo all of it")).await;
    for _ in 0..5 {
        send_and_hang_up(&agent, "ReadStdout", &read("c1", "")).await;
    }
    agent.write("c1", "", b"\n").await.unwrap();
    assert_eq!(agent.output("c1", "").await, "all of it\n");
}

#[tokio::test]
async fn a_wait_that_has_gone_takes_no_status() {
    let agent = Agent::start().await;
    agent.run("c1", sh("read go; exit 4")).await;
    send_and_hang_up(&agent, "WaitProcess", &wait_for_init()).await;
    agent.write("c1", "", b"\n").await.unwrap();
    assert_eq!(agent.wait("c1", "").await.unwrap(), 4);
}

#[tokio::test]
async fn a_wait_whose_deadline_passed_takes_no_status() {
    let agent = Agent::start().await;
    agent.run("c1", sh("read go; exit 4")).await;
    let soon = Duration::from_millis(20);
    let mut socket = send(&agent, "WaitProcess", &wait_for_init(), soon);
    let mut reply = [0; 14];
    socket.read_exact(&mut reply).unwrap();
    assert_eq!(
        reply[12..],
        [0x08, 0x04],
        "the agent says DEADLINE_EXCEEDED"
    );
    agent.write("c1", "", b"\n").await.unwrap();
    assert_eq!(agent.wait("c1", "").await.unwrap(), 4);
}

#[tokio::test]
async fn a_removal_is_finished() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    let request = RemoveContainerRequest {
        container_id: "c1".into(),
        ..Default::default()
    };
    send_and_hang_up(&agent, "RemoveContainer", &request).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while agent.run_dir().join("c1").exists() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the removal was not finished"
        );
        agent.check().await;
    }
}
