//! Calls in their order, ids used once, faults on demand.

use crate::*;

#[tokio::test]
async fn a_sound_conversation_is_clean() {
    let peer = Peer::with_running("say", false).await;
    let read = call!(
        peer,
        read_stdout,
        ReadStreamRequest {
            container_id: "c1",
            len: 64u32
        }
    );
    assert_eq!(read.unwrap().data, b"hello");
    let end = call!(
        peer,
        read_stdout,
        ReadStreamRequest {
            container_id: "c1",
            len: 64u32
        }
    );
    assert!(end.unwrap().data.is_empty());
    assert_eq!(peer.wait("").await.unwrap(), 0);
    let remove = call!(
        peer,
        remove_container,
        RemoveContainerRequest {
            container_id: "c1",
            timeout: 10u32,
        }
    );
    remove.unwrap();
    call!(peer, destroy_sandbox, DestroySandboxRequest {}).unwrap();
    peer.fake.assert_clean();
}

#[tokio::test]
async fn calls_come_in_order() {
    let early = peer(Flavor::Kata);
    let reply = call!(early, create_sandbox, CreateSandboxRequest {});
    early.caught(reply, "before Check");

    let peer = Peer::checked().await;
    let reply = peer.create("c1", spec("true", false)).await;
    peer.caught(reply, "before CreateSandbox");

    let peer = Peer::checked().await;
    let path = "/run/kata-containers/shared/containers/x";
    let reply = call!(
        peer,
        copy_file,
        CopyFileRequest {
            path: path.to_owned()
        }
    );
    peer.caught(reply, "CopyFile before CreateSandbox");

    let peer = Peer::with_sandbox().await;
    let reply = call!(peer, create_sandbox, CreateSandboxRequest {});
    peer.caught(reply, "CreateSandbox twice");

    let peer = Peer::with_sandbox().await;
    let reply = call!(peer, set_policy, SetPolicyRequest { policy: "x" });
    peer.caught(reply, "SetPolicy after");
}

#[tokio::test]
async fn a_container_starts_once_and_alive() {
    let peer = Peer::with_running("sleep", false).await;
    let reply = call!(
        peer,
        start_container,
        StartContainerRequest { container_id: "c1" }
    );
    peer.caught(reply, "blocks the agent");

    let peer = Peer::with_container("dies", false).await;
    while peer.wait("").await.is_err() {}
    let reply = call!(
        peer,
        start_container,
        StartContainerRequest { container_id: "c1" }
    );
    peer.caught(reply, "blocks the agent");
}

#[tokio::test]
async fn ids_are_not_used_twice() {
    let peer = Peer::with_container("sleep", false).await;
    let reply = peer.create("c1", spec("true", false)).await;
    peer.caught(reply, "kills the running container");

    let peer = Peer::with_sandbox().await;
    let missing = peer.create("c1", spec("nope", false)).await.unwrap_err();
    assert!(
        missing.to_string().contains("the file nope was not found"),
        "{missing}"
    );
    let reply = peer.create("c1", spec("true", false)).await;
    peer.caught(reply, "after a failure");

    let peer = Peer::with_sandbox().await;
    let reply = peer.create("shared", spec("true", false)).await;
    peer.caught(reply, "a directory of the guest");

    for exec in ["c1", "", "x"] {
        let peer = Peer::with_running("sleep", false).await;
        let process = |peer: &Peer| {
            let fake = peer.agent.clone();
            let process = spec("sleep", false).Process;
            async move {
                let mut request = ExecProcessRequest::new();
                request.container_id = "c1".to_owned();
                request.exec_id = exec.to_owned();
                request.process = process;
                fake.exec_process(with_duration(Duration::from_secs(10)), &request)
                    .await
            }
        };
        if exec == "x" {
            process(&peer).await.unwrap();
        }
        let reply = process(&peer).await;
        peer.caught(reply, "in use in c1");
    }
}

#[tokio::test]
async fn output_is_read_before_the_wait_is_answered() {
    let peer = Peer::with_running("say", false).await;
    assert_eq!(peer.wait("").await.unwrap(), 0);
    peer.recorded("5 bytes of output unread");
    let gone = call!(
        peer,
        read_stdout,
        ReadStreamRequest {
            container_id: "c1",
            len: 1u32
        }
    );
    assert!(gone.unwrap_err().to_string().contains("InvalidExecId"));
}

#[tokio::test]
async fn a_container_is_waited_for_before_it_is_removed() {
    let peer = Peer::with_running("sleep", false).await;
    let reply = call!(
        peer,
        remove_container,
        RemoveContainerRequest {
            container_id: "c1",
            timeout: 10u32,
        }
    );
    peer.caught(reply, "before WaitProcess");

    let peer = Peer::with_container("sleep", false).await;
    let reply = call!(
        peer,
        remove_container,
        RemoveContainerRequest { container_id: "c1" }
    );
    peer.caught(reply, "timeout 0");
}

#[tokio::test]
async fn faults_happen_on_demand() {
    let peer = Peer::with_sandbox().await;
    peer.fake.on(
        "GetMetrics",
        Fault::Answer(Code::INTERNAL, "broken".to_owned()),
    );
    let error = call!(peer, get_metrics, GetMetricsRequest {}).unwrap_err();
    assert!(error.to_string().contains("broken"));
    peer.fake.heal("GetMetrics");
    call!(peer, get_metrics, GetMetricsRequest {}).unwrap();
    peer.fake.on("GetMetrics", Fault::Silence);
    let context = with_duration(Duration::from_millis(50));
    let late = peer
        .agent
        .get_metrics(context, &GetMetricsRequest::new())
        .await;
    assert!(late.unwrap_err().to_string().contains("deadline"));
    peer.fake.on("GetMetrics", Fault::Disconnect);
    let error = call!(peer, get_metrics, GetMetricsRequest {}).unwrap_err();
    assert!(!matches!(error, ttrpc::Error::RpcStatus(_)), "{error:?}");
    peer.fake.assert_clean();
}

#[tokio::test]
#[should_panic(expected = "the agent's rules were broken")]
async fn a_violation_fails_the_test_at_its_end() {
    let peer = Peer::with_sandbox().await;
    drop(call!(peer, create_sandbox, CreateSandboxRequest {}));
    peer.fake.assert_clean();
}
