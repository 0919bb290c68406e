//! Golden vectors of the wire format, byte for byte and in both directions: what our client
//! sends, what our server answers, and how our client reads the answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::hex;
use crate::reflect::Reflection;
use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use ttrpc::Code;
use ttrpc::r#async::transport::{Listener, Socket};
use ttrpc::r#async::{Client, Server, TtrpcContext};
use ttrpc::context::with_duration;
use virtcontainers_agent_proto::agent_ttrpc::{
    AgentService, AgentServiceClient, create_agent_service,
};
use virtcontainers_agent_proto::health_ttrpc::{Health, HealthClient, create_health};
use virtcontainers_agent_proto::{AGENT_SERVICE, HEALTH_SERVICE, agent, empty, health};

const CHECK: &str = "00 00 00 19 00 00 00 01 01 00
    0a 0b 67 72 70 63 2e 48 65 61 6c 74 68 12 05 43 68 65 63 6b 20 80 84 af 5f";
const SERVING: &str = "00 00 00 06 00 00 00 01 02 00 0a 00 12 02 08 01";
const START: &str = "00 00 00 2f 00 00 00 03 01 00
    0a 11 67 72 70 63 2e 41 67 65 6e 74 53 65 72 76 69 63 65 12 0e 53 74 61 72 74 43 6f 6e 74 61
    69 6e 65 72 1a 04 0a 02 63 31 20 80 d8 8e e1 6f";
const EMPTY: &str = "00 00 00 02 00 00 00 03 02 00 0a 00";
const WAIT: &str = "00 00 00 26 00 00 00 05 01 00
    0a 11 67 72 70 63 2e 41 67 65 6e 74 53 65 72 76 69 63 65 12 0b 57 61 69 74 50 72 6f 63 65 73
    73 1a 04 0a 02 63 31";
const STATUS_137: &str = "00 00 00 07 00 00 00 05 02 00 0a 00 12 03 08 89 01";
const GONE: &str = "00 00 00 0a 00 00 00 07 02 00 0a 08 08 05 12 04 67 6f 6e 65";

/// Answers as the vectors have it.
struct Golden;

#[async_trait]
impl Health for Golden {
    async fn check(
        &self,
        _: &TtrpcContext,
        _: health::CheckRequest,
    ) -> ttrpc::Result<health::HealthCheckResponse> {
        Ok(health::HealthCheckResponse {
            status: health::health_check_response::ServingStatus::SERVING.into(),
            ..Default::default()
        })
    }
}

#[async_trait]
impl AgentService for Golden {
    async fn start_container(
        &self,
        _: &TtrpcContext,
        _: agent::StartContainerRequest,
    ) -> ttrpc::Result<empty::Empty> {
        Ok(empty::Empty::new())
    }

    async fn wait_process(
        &self,
        _: &TtrpcContext,
        request: agent::WaitProcessRequest,
    ) -> ttrpc::Result<agent::WaitProcessResponse> {
        if request.container_id != "c1" {
            return Err(ttrpc::error::get_rpc_status(Code::NOT_FOUND, "gone"));
        }
        Ok(agent::WaitProcessResponse {
            status: 137,
            ..Default::default()
        })
    }
}

async fn server() -> (Server, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut server = Server::new()
        .add_listener(Listener::new(futures_util::stream::iter([Ok(theirs)])))
        .register_service(create_health(Arc::new(Golden)))
        .register_service(create_agent_service(Arc::new(Golden)));
    server.start().await.unwrap();
    (server, ours)
}

async fn read(stream: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = stream.read_exact(&mut bytes);
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .unwrap()
        .unwrap();
    bytes
}

async fn answer(stream: &mut UnixStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    let mut reply = read(stream, 10).await;
    let length = u32::from_be_bytes(reply[..4].try_into().unwrap());
    reply.extend(read(stream, length as usize).await);
    reply
}

#[tokio::test]
async fn the_server_answers_with_the_golden_bytes() {
    let (_server, mut stream) = server().await;
    for (request, reply) in [(CHECK, SERVING), (START, EMPTY), (WAIT, STATUS_137)] {
        assert_eq!(answer(&mut stream, &hex(request)).await, hex(reply));
    }
    let mut other = hex(WAIT);
    other[7] = 7;
    *other.last_mut().unwrap() = b'2';
    assert_eq!(answer(&mut stream, &other).await, hex(GONE));
}

#[tokio::test]
async fn the_client_sends_the_golden_bytes_and_reads_the_answers() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let client = Client::new(Socket::new(ours));
    let agent_client = AgentServiceClient::new(client.clone());
    let call = async {
        let request = health::CheckRequest::new();
        let reply = HealthClient::new(client)
            .check(with_duration(Duration::from_millis(200)), &request)
            .await;
        let serving = health::health_check_response::ServingStatus::SERVING;
        assert_eq!(reply.unwrap().status, serving.into());

        let request = agent::StartContainerRequest {
            container_id: "c1".into(),
            ..Default::default()
        };
        let reply = agent_client.start_container(with_duration(Duration::from_secs(30)), &request);
        reply.await.unwrap();

        let request = agent::WaitProcessRequest {
            container_id: "c1".into(),
            ..Default::default()
        };
        let context = ttrpc::context::Context::default();
        let reply = agent_client.wait_process(context.clone(), &request).await;
        assert_eq!(reply.unwrap().status, 137);

        let reply = agent_client.wait_process(context, &request).await;
        let Err(ttrpc::Error::RpcStatus(status)) = reply else {
            panic!("an error reply, not {reply:?}");
        };
        assert_eq!((status.code(), status.message()), (Code::NOT_FOUND, "gone"));
    };
    let serve = async {
        let mut wait_again = hex(WAIT);
        wait_again[7] = 7;
        for (request, reply) in [
            (hex(CHECK), SERVING),
            (hex(START), EMPTY),
            (hex(WAIT), STATUS_137),
            (wait_again, GONE),
        ] {
            assert_eq!(read(&mut peer, request.len()).await, request);
            peer.write_all(&hex(reply)).await.unwrap();
        }
    };
    tokio::join!(call, serve);
}

/// A request frame without payload.
fn request(stream_id: u32, service: &str, method: &str) -> Vec<u8> {
    let mut body = vec![0x0a, u8::try_from(service.len()).unwrap()];
    body.extend(service.bytes());
    body.extend([0x12, u8::try_from(method.len()).unwrap()]);
    body.extend(method.bytes());
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(stream_id.to_be_bytes());
    frame.extend([1, 0]);
    frame.extend(body);
    frame
}

#[tokio::test]
async fn what_does_not_exist_is_refused_as_kata_agent_refuses_it() {
    let (_server, mut stream) = server().await;
    for (frame, code, message) in [
        (
            request(1, "grpc.Nope", "Check"),
            3,
            "grpc.Nope service does not exist",
        ),
        (request(3, AGENT_SERVICE, "Nope"), 12, "Nope method"),
        (
            request(5, AGENT_SERVICE, "SetPolicy"),
            5,
            "/grpc.AgentService/SetPolicy is not supported",
        ),
        (
            request(8, HEALTH_SERVICE, "Check"),
            3,
            "stream id must be odd",
        ),
    ] {
        let reply = answer(&mut stream, &frame).await;
        let text = String::from_utf8_lossy(&reply[10..]).into_owned();
        assert_eq!(reply[13], code, "{message}");
        assert!(text.ends_with(message), "{text:?}");
    }
}

#[test]
fn the_service_tables_are_those_of_the_proto_files() {
    let reflection = Reflection::new();
    for (service, mut table, count) in [
        (AGENT_SERVICE, create_agent_service(Arc::new(Golden)), 42),
        (HEALTH_SERVICE, create_health(Arc::new(Golden)), 2),
    ] {
        let served: BTreeSet<String> = table.remove(service).unwrap().methods.into_keys().collect();
        let named: BTreeSet<String> = reflection.methods_of(service).into_iter().collect();
        assert_eq!(served, named);
        assert_eq!(served.len(), count);
    }
}
