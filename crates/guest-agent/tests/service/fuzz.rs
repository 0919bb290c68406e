//! Nonsense to every method: an answer each, and the agent lives on.

use ttrpc::Code;
use ttrpc::proto::Request;
use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::oci;

use crate::harness::{Agent, PATIENCE, code, ctx};
use crate::spec::{self, sh};

const METHODS: [&str; 42] = [
    "AddARPNeighbors",
    "AddSwap",
    "AddSwapPath",
    "CloseStdin",
    "CopyFile",
    "CreateContainer",
    "CreateSandbox",
    "DestroySandbox",
    "ExecProcess",
    "GetDiagnosticData",
    "GetGuestDetails",
    "GetIPTables",
    "GetMetrics",
    "GetOOMEvent",
    "GetVolumeStats",
    "ListInterfaces",
    "ListRoutes",
    "MemAgentCompactSet",
    "MemAgentMemcgSet",
    "MemHotplugByProbe",
    "OnlineCPUMem",
    "PauseContainer",
    "ReadStderr",
    "ReadStdout",
    "RemoveContainer",
    "RemoveStaleVirtiofsShareMounts",
    "ReseedRandomDev",
    "ResizeVolume",
    "ResumeContainer",
    "SetGuestDateTime",
    "SetIPTables",
    "SetPolicy",
    "SignalProcess",
    "StartContainer",
    "StatsContainer",
    "TtyWinResize",
    "UpdateContainer",
    "UpdateEphemeralMounts",
    "UpdateInterface",
    "UpdateRoutes",
    "WaitProcess",
    "WriteStdin",
];

/// Bodies that are no message of any type: an endless number, a number cut off, a text cut off, a
/// wire type that does not exist.
const BODIES: [&[u8]; 4] = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x08",
    b"\x0a\x7fshort",
    b"\x0f\x00",
];

async fn send(agent: &Agent, method: &str, payload: &[u8]) -> Code {
    let request = Request {
        service: "grpc.AgentService".to_owned(),
        method: method.to_owned(),
        payload: payload.to_vec(),
        timeout_nano: PATIENCE.as_nanos() as i64,
        ..Default::default()
    };
    code(agent.connect().await.request(request).await)
}

#[tokio::test]
async fn garbage_is_refused_by_every_method() {
    let agent = Agent::start().await;
    for method in METHODS {
        for body in BODIES {
            let code = send(&agent, method, body).await;
            assert!(
                matches!(code, Code::INVALID_ARGUMENT | Code::UNIMPLEMENTED),
                "{method} {body:?}: {code:?}"
            );
        }
    }
}

#[tokio::test]
async fn empty_requests_are_answered_by_every_method() {
    let agent = Agent::start().await;
    // Those wait for an event, or end the sandbox, or would touch this machine.
    let apart = [
        "GetOOMEvent",
        "DestroySandbox",
        "OnlineCPUMem",
        "SetGuestDateTime",
    ];
    for method in METHODS.iter().filter(|method| !apart.contains(method)) {
        let code = send(&agent, method, b"").await;
        assert!(
            !matches!(code, Code::DEADLINE_EXCEEDED | Code::UNKNOWN),
            "{method}: {code:?}"
        );
        assert_ne!((*method, code), ("CreateContainer", Code::OK));
    }
}

/// Specifications that make a stock agent panic.
#[tokio::test]
async fn broken_specifications_are_refused_and_leave_nothing() {
    type Break = fn(&mut oci::Spec);
    let agent = Agent::start().await;
    let breaks: [(&str, Break); 12] = [
        ("no process", |spec| spec.Process = None.into()),
        ("no root", |spec| spec.Root = None.into()),
        ("no linux", |spec| spec.Linux = None.into()),
        ("no arguments", |spec| {
            spec.Process.mut_or_insert_default().Args.clear()
        }),
        ("a missing root", |spec| {
            spec.Root.mut_or_insert_default().Path = "/nonexistent".into()
        }),
        ("a relative root", |spec| {
            spec.Root.mut_or_insert_default().Path = "rootfs".into()
        }),
        ("an upward root", |spec| {
            spec.Root.mut_or_insert_default().Path = "/tmp/../tmp".into()
        }),
        ("a bad capability", |spec| {
            let process = spec.Process.mut_or_insert_default();
            process
                .Capabilities
                .mut_or_insert_default()
                .Bounding
                .push("CAP_NOPE".into());
        }),
        ("a bad rlimit", |spec| {
            let limit = oci::POSIXRlimit {
                Type: "RLIMIT_NOPE".into(),
                ..Default::default()
            };
            spec.Process.mut_or_insert_default().Rlimits.push(limit);
        }),
        ("a bad namespace", |spec| {
            spec.Linux.mut_or_insert_default().Namespaces[0].Type = "nope".into();
        }),
        ("a bad device", |spec| {
            let device = oci::LinuxDevice {
                Path: "/dev/x".into(),
                Type: "nope".into(),
                ..Default::default()
            };
            spec.Linux.mut_or_insert_default().Devices.push(device);
        }),
        ("a bad seccomp action", |spec| {
            let seccomp = oci::LinuxSeccomp {
                DefaultAction: "SCMP_NOPE".into(),
                ..Default::default()
            };
            spec.Linux.mut_or_insert_default().Seccomp = Some(seccomp).into();
        }),
    ];
    for (name, break_it) in breaks {
        let mut request = spec::container("broken", sh("true"));
        break_it(request.OCI.mut_or_insert_default());
        let result = agent.api.create_container(ctx(), &request).await;
        assert_eq!(code(result), Code::INVALID_ARGUMENT, "{name}");
        assert!(
            !agent.run_dir().join("broken").exists(),
            "{name} left a bundle"
        );
    }
    agent.run("broken", sh("exit 4")).await;
    assert_eq!(
        agent.wait("broken", "").await.unwrap(),
        4,
        "the name is still usable"
    );
}

#[tokio::test]
async fn ids_that_are_no_names_are_refused() {
    let agent = Agent::start().await;
    for id in [
        "",
        ".",
        "..",
        "a/b",
        "../x",
        "shared",
        "sandbox",
        &"x".repeat(129),
    ] {
        assert_eq!(
            code(agent.create(id, sh("true")).await),
            Code::INVALID_ARGUMENT,
            "{id:?}"
        );
    }
    let request = StatsContainerRequest {
        container_id: "x\0y".into(),
        ..Default::default()
    };
    assert_eq!(
        code(agent.api.stats_container(ctx(), &request).await),
        Code::INVALID_ARGUMENT
    );
}
