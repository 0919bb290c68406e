//! Streams and long polls.

use crate::*;

#[tokio::test]
async fn streams_are_used_as_they_must() {
    let peer = Peer::with_running("sleep", true).await;
    let reply = call!(
        peer,
        read_stderr,
        ReadStreamRequest {
            container_id: "c1",
            len: 1u32
        }
    );
    peer.caught(reply, "ReadStderr of a process with a terminal");

    let peer = Peer::with_running("sleep", true).await;
    let reply = call!(peer, close_stdin, CloseStdinRequest { container_id: "c1" });
    peer.caught(reply, "CloseStdin of a process with a terminal");

    for data in [vec![], vec![0; (1 << 20) + 1]] {
        let peer = Peer::with_running("sleep", false).await;
        let reply = call!(
            peer,
            write_stdin,
            WriteStreamRequest {
                container_id: "c1",
                data: data.clone(),
            }
        );
        peer.caught(reply, "WriteStdin of");
    }

    let peer = Peer::with_running("sleep", false).await;
    let reply = call!(peer, read_stdout, ReadStreamRequest { container_id: "c1" });
    peer.caught(reply, "ReadStdout of 0 bytes");

    let peer = Peer::with_running("sleep", false).await;
    let read = |peer: &Peer| {
        let agent = peer.agent.clone();
        async move {
            let mut request = ReadStreamRequest::new();
            (request.container_id, request.len) = ("c1".to_owned(), 1);
            agent
                .read_stdout(with_duration(Duration::from_secs(10)), &request)
                .await
        }
    };
    let first = tokio::spawn(read(&peer));
    while peer.fake.calls().iter().all(|call| call != "ReadStdout") {
        tokio::task::yield_now().await;
    }
    // The first read was taken in before the second is sent.
    let reply = read(&peer).await;
    peer.caught(reply, "two of ReadStdout at once");
    first.abort();
}

#[tokio::test]
async fn only_one_call_waits_for_memory_events() {
    let peer = Peer::with_sandbox().await;
    let agent = peer.agent.clone();
    let first = tokio::spawn(async move {
        let request = GetOOMEventRequest::new();
        agent
            .get_oom_event(with_duration(Duration::from_secs(10)), &request)
            .await
    });
    while peer.fake.calls().iter().all(|call| call != "GetOOMEvent") {
        tokio::task::yield_now().await;
    }
    let reply = call!(peer, get_oom_event, GetOOMEventRequest {});
    peer.caught(reply, "two of GetOOMEvent");
    first.abort();
}
