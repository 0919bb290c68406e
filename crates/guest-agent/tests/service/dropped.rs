//! Connections that end in the middle of a request.

use std::time::Duration;

use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::agent_ttrpc::AgentServiceClient;

use crate::harness::{Agent, ctx, read};
use crate::spec::{self, sh};

/// Sends a request on a connection of its own that is closed right after.
async fn send_and_hang_up<F: Future>(agent: &Agent, call: impl FnOnce(AgentServiceClient) -> F) {
    let client = AgentServiceClient::new(agent.connect().await);
    // Long enough to be sent, mostly too short to be answered.
    drop(tokio::time::timeout(Duration::from_micros(500), call(client)).await);
}

#[tokio::test]
async fn a_creation_is_finished_or_undone() {
    let agent = Agent::start().await;
    for number in 0..20 {
        let id = format!("c{number}");
        let request = spec::container(&id, sh("exit 3"));
        send_and_hang_up(&agent, |api| async move {
            api.create_container(ctx(), &request).await
        })
        .await;
        // Whatever has become of it, the name leads to a container that works.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let start = StartContainerRequest {
                container_id: id.clone(),
                ..Default::default()
            };
            if agent.api.start_container(ctx(), &start).await.is_ok() {
                break;
            }
            drop(agent.create(&id, sh("exit 3")).await);
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
        send_and_hang_up(&agent, |api| async move {
            let request = read("c1", "");
            tokio::time::timeout(Duration::from_millis(20), api.read_stdout(ctx(), &request)).await
        })
        .await;
    }
    agent.write("c1", "", b"\n").await.unwrap();
    assert_eq!(agent.output("c1", "").await, "all of it\n");
}

#[tokio::test]
async fn a_wait_that_has_gone_takes_no_status() {
    let agent = Agent::start().await;
    agent.run("c1", sh("read go; exit 4")).await;
    send_and_hang_up(&agent, |api| async move {
        let request = WaitProcessRequest {
            container_id: "c1".into(),
            ..Default::default()
        };
        api.wait_process(ctx(), &request).await
    })
    .await;
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
    send_and_hang_up(&agent, |api| async move {
        api.remove_container(ctx(), &request).await
    })
    .await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while agent.run_dir().join("c1").exists() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the removal was not finished"
        );
        // If the request was never received, this one does it.
        drop(agent.remove("c1").await);
    }
}
