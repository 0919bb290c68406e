//! What holds for every call: codes for what does not exist, replies to frames byte by byte.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use ttrpc::Code;
use ttrpc::proto::Request;
use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::health::CheckRequest;
use virtcontainers_agent_proto::health::health_check_response::ServingStatus;
use virtcontainers_agent_proto::health_ttrpc::HealthClient;

use crate::harness::{Agent, PATIENCE, code, ctx};

async fn raw(agent: &Agent, service: &str, method: &str) -> Code {
    let request = Request {
        service: service.to_owned(),
        method: method.to_owned(),
        timeout_nano: PATIENCE.as_nanos() as i64,
        ..Default::default()
    };
    code(agent.connect().await.request(request).await)
}

#[tokio::test]
async fn unknown_services_and_methods_have_their_codes() {
    let agent = Agent::start_bare().await;
    assert_eq!(
        raw(&agent, "grpc.Nope", "Check").await,
        Code::INVALID_ARGUMENT
    );
    assert_eq!(
        raw(&agent, "grpc.AgentService", "Nope").await,
        Code::UNIMPLEMENTED
    );
    for absent in [
        "SetPolicy",
        "AddSwap",
        "ResizeVolume",
        "MemAgentMemcgSet",
        "GetIPTables",
    ] {
        assert_eq!(
            raw(&agent, "grpc.AgentService", absent).await,
            Code::UNIMPLEMENTED,
            "{absent}"
        );
    }
}

#[tokio::test]
async fn health_and_version_answer_before_there_is_a_sandbox() {
    let agent = Agent::start_bare().await;
    let health = HealthClient::new(agent.connect().await);
    let check = health.check(ctx(), &CheckRequest::new()).await.unwrap();
    assert_eq!(check.status.enum_value(), Ok(ServingStatus::SERVING));
    let version = health.version(ctx(), &CheckRequest::new()).await.unwrap();
    assert_eq!(version.grpc_version, "0.0.1");
    assert_eq!(version.agent_version, env!("CARGO_PKG_VERSION"));
    let details = agent
        .api
        .get_guest_details(ctx(), &GuestDetailsRequest::new())
        .await
        .unwrap();
    let details = details.agent_details.unwrap();
    assert!(details.supports_seccomp && !details.init_daemon);
    assert!(details.storage_handlers.contains(&"virtio-fs".to_owned()));
}

fn frame(stream: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(stream.to_be_bytes());
    frame.extend([kind, 0]);
    frame.extend(body);
    frame
}

fn reply(socket: &mut UnixStream) -> (u32, Vec<u8>) {
    let mut header = [0; 10];
    socket.read_exact(&mut header).unwrap();
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    let mut body = vec![0; number(0) as usize];
    socket.read_exact(&mut body).unwrap();
    (number(4), body)
}

#[tokio::test]
async fn frames_are_answered_byte_by_byte() {
    let agent = Agent::start_bare().await;
    let mut socket = UnixStream::connect(agent.socket()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let check = b"\x0a\x0bgrpc.Health\x12\x05Check\x20\x80\x84\xaf\x5f";
    socket.write_all(&frame(1, 1, check)).unwrap();
    assert_eq!(
        reply(&mut socket),
        (1, b"\x0a\x00\x12\x02\x08\x01".to_vec())
    );

    // An even stream, garbage for an envelope, a frame beyond the limit: errors, and the
    // connection goes on.
    socket.write_all(&frame(2, 1, check)).unwrap();
    let (stream, body) = reply(&mut socket);
    assert_eq!((stream, &body[2..4]), (2, &b"\x08\x03"[..]));
    socket.write_all(&frame(3, 1, &[0xff; 64])).unwrap();
    let (stream, body) = reply(&mut socket);
    assert_eq!((stream, &body[2..4]), (3, &b"\x08\x03"[..]));
    socket
        .write_all(&frame(5, 1, &vec![0; (4 << 20) + 1]))
        .unwrap();
    let (stream, body) = reply(&mut socket);
    assert_eq!(stream, 5);
    assert!(body.windows(2).any(|pair| pair == b"\x08\x03"));
    socket.write_all(&frame(7, 1, check)).unwrap();
    assert_eq!(reply(&mut socket).0, 7);
}
