//! Connections that end in the middle of a request.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use protobuf::Message;
use ttrpc::proto::Request;
use virtcontainers_agent_proto::agent::*;

use crate::harness::{Agent, PATIENCE, code, read};
use crate::spec::{self, sh};

/// Sends a request on a connection of its own and hangs up without waiting for the reply.
async fn send_and_hang_up(agent: &Agent, method: &str, request: &impl Message) {
    let envelope = Request {
        service: "grpc.AgentService".to_owned(),
        method: method.to_owned(),
        payload: request.write_to_bytes().unwrap(),
        ..Default::default()
    };
    let body = envelope.write_to_bytes().unwrap();
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend([0, 0, 0, 1, 1, 0]);
    frame.extend(body);
    let mut socket = UnixStream::connect(agent.socket()).unwrap();
    socket.write_all(&frame).unwrap();
    drop(socket);
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
    let soon = ttrpc::context::with_duration(Duration::from_millis(20));
    let late = agent.api.wait_process(soon, &wait_for_init()).await;
    assert_ne!(code_or_lost(late), ttrpc::Code::OK);
    agent.check().await;
    agent.write("c1", "", b"\n").await.unwrap();
    assert_eq!(agent.wait("c1", "").await.unwrap(), 4);
}

/// The client may notice its deadline before the server says so.
fn code_or_lost<T>(result: ttrpc::Result<T>) -> ttrpc::Code {
    match result {
        Err(ttrpc::Error::Others(_)) => ttrpc::Code::DEADLINE_EXCEEDED,
        other => code(other),
    }
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
