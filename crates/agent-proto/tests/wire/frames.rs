//! Every call of a recorded conversation with a real kata-agent, read and written again.
//!
//! The envelope and the inner messages are decoded with our types and must encode to the same
//! bytes; apart from that the inner messages are decoded by reflection over our proto files and
//! compared, field by field, with the JSON in the recording, which another implementation made.

use crate::hex;
use crate::reflect::Reflection;
use protobuf::Message;
use serde_json::Value;
use ttrpc::{Request, Response};
use virtcontainers_agent_proto::{agent, csi, empty, health, types};

/// Decodes and encodes again. Maps of the original are in the order of a hash table, so they may
/// come back in another order: then the length and the meaning must be equal.
fn again<M: Message + PartialEq>(bytes: &[u8]) -> bool {
    let message = M::parse_from_bytes(bytes).unwrap();
    let written = message.write_to_bytes().unwrap();
    let known = message
        .special_fields()
        .unknown_fields()
        .iter()
        .next()
        .is_none();
    known
        && (written == bytes
            || written.len() == bytes.len() && M::parse_from_bytes(&written).unwrap() == message)
}

macro_rules! methods {
    ($method:expr, $request:expr, $response:expr; $($name:literal $rq:ty => $rs:ty),* $(,)?) => {
        match $method {
            $($name => Some((again::<$rq>($request), again::<$rs>($response))),)*
            _ => None,
        }
    };
}

/// Whether request and response come back unchanged, or `None` for a method that does not exist.
fn both_again(method: &str, request: &[u8], response: &[u8]) -> Option<(bool, bool)> {
    use agent::*;
    use empty::Empty;
    methods!(method, request, response;
        "Check" health::CheckRequest => health::HealthCheckResponse,
        "Version" health::CheckRequest => health::VersionCheckResponse,
        "GetGuestDetails" GuestDetailsRequest => GuestDetailsResponse,
        "CreateSandbox" CreateSandboxRequest => Empty,
        "DestroySandbox" DestroySandboxRequest => Empty,
        "SetGuestDateTime" SetGuestDateTimeRequest => Empty,
        "ReseedRandomDev" ReseedRandomDevRequest => Empty,
        "ListInterfaces" ListInterfacesRequest => Interfaces,
        "ListRoutes" ListRoutesRequest => Routes,
        "UpdateInterface" UpdateInterfaceRequest => types::Interface,
        "CreateContainer" CreateContainerRequest => Empty,
        "StartContainer" StartContainerRequest => Empty,
        "RemoveContainer" RemoveContainerRequest => Empty,
        "PauseContainer" PauseContainerRequest => Empty,
        "ResumeContainer" ResumeContainerRequest => Empty,
        "UpdateContainer" UpdateContainerRequest => Empty,
        "StatsContainer" StatsContainerRequest => StatsContainerResponse,
        "ExecProcess" ExecProcessRequest => Empty,
        "SignalProcess" SignalProcessRequest => Empty,
        "WaitProcess" WaitProcessRequest => WaitProcessResponse,
        "ReadStdout" ReadStreamRequest => ReadStreamResponse,
        "ReadStderr" ReadStreamRequest => ReadStreamResponse,
        "WriteStdin" WriteStreamRequest => WriteStreamResponse,
        "CloseStdin" CloseStdinRequest => Empty,
        "TtyWinResize" TtyWinResizeRequest => Empty,
        "CopyFile" CopyFileRequest => Empty,
        "OnlineCPUMem" OnlineCPUMemRequest => Empty,
        "GetVolumeStats" VolumeStatsRequest => csi::VolumeStatsResponse,
        "GetMetrics" GetMetricsRequest => Metrics,
    )
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap()
}

#[test]
fn the_recorded_conversation_is_understood() {
    let reflection = Reflection::new();
    let mut calls = 0;
    for (number, line) in include_str!("../fixtures/frames.jsonl").lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        let method = text(&line, "method");
        let at = format!("line {} ({method} {})", number + 1, text(&line, "note"));

        let envelope =
            Request::parse_from_bytes(&hex(text(&line, "request_envelope_hex"))).unwrap();
        assert_eq!(envelope.service, text(&line, "service"), "{at}");
        assert_eq!(envelope.method, method, "{at}");
        let request = hex(text(&line, "request_hex"));
        assert_eq!(envelope.payload, request, "{at}");

        let reply = Response::parse_from_bytes(&hex(text(&line, "response_envelope_hex"))).unwrap();
        let code = reply.status.get_or_default().code.value();
        assert_eq!(
            i64::from(code),
            line["status_code"].as_i64().unwrap(),
            "{at}"
        );
        let message = &reply.status.get_or_default().message;
        assert!(
            message.contains(text(&line, "status_message")),
            "{at}: {message}"
        );
        assert!(code == 0 || reply.payload.is_empty(), "{at}");

        let known = both_again(method, &request, &reply.payload);
        assert_eq!(known.is_none(), code == 12, "{at}");
        if let Some(same) = known {
            assert_eq!(
                same,
                (true, true),
                "{at}: request and response encode to the same bytes"
            );
        }
        if let Some((rq, rs)) = reflection.messages(&envelope.service, method) {
            assert_eq!(reflection.json(&rq, &request), line["request"], "{at}");
            if code == 0 {
                assert_eq!(
                    reflection.json(&rs, &reply.payload),
                    line["response"],
                    "{at}"
                );
            }
        }
        calls += 1;
    }
    assert_eq!(calls, 52, "the recording is complete");
}

#[test]
fn a_changed_field_number_would_be_noticed() {
    // The comparison itself: a request read as another message differs.
    let reflection = Reflection::new();
    let request = hex("08011001");
    assert_eq!(
        reflection.json("GuestDetailsRequest", &request),
        serde_json::json!({"mem_block_size": true, "mem_hotplug_probe": true})
    );
    assert_ne!(
        reflection.json("OnlineCPUMemRequest", &request),
        serde_json::json!({"mem_block_size": true, "mem_hotplug_probe": true})
    );
}
