//! The client against the recorded answers of a real kata-agent 4.1, byte for byte.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protobuf::Message as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use virtcontainers_agent::spec::Dialect;
use virtcontainers_agent::{Agent, AgentPort, ErrorKind, OutputStream, Timeouts};
use virtcontainers_agent_proto::{agent, oci};
use virtcontainers_types::ExitStatus;

use crate::{SOON, create_request, exec, id, init, process};

/// Requests that have one form only: ours have to be those that the real agent took.
const SAME: [&str; 14] = [
    "Check",
    "Version",
    "GetGuestDetails",
    "StartContainer",
    "ReadStdout",
    "ReadStderr",
    "WriteStdin",
    "CloseStdin",
    "WaitProcess",
    "SignalProcess",
    "TtyWinResize",
    "StatsContainer",
    "PauseContainer",
    "UpdateContainer",
];

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The recorded request and answer of each call, in order, by method.
type Recording = HashMap<String, VecDeque<(Vec<u8>, Vec<u8>)>>;

fn recording() -> Recording {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../agent-proto/tests/fixtures/frames.jsonl"
    );
    let mut calls = Recording::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap();
        if text("note").starts_with("unknown method") || text("note") == "unknown service" {
            continue;
        }
        let call = (hex(text("request_hex")), hex(text("response_envelope_hex")));
        calls
            .entry(text("method").to_owned())
            .or_default()
            .push_back(call);
    }
    calls
}

/// Answers from the recording until the client hangs up; gives what was not asked for.
async fn replay(mut stream: UnixStream) -> Vec<String> {
    let mut calls = recording();
    let mut header = [0; 10];
    while stream.read_exact(&mut header).await.is_ok() {
        let length = u32::from_be_bytes(header[..4].try_into().unwrap());
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body).await.unwrap();
        let request = ttrpc::Request::parse_from_bytes(&body).unwrap();
        let recorded = calls.get_mut(&request.method).and_then(VecDeque::pop_front);
        let (payload, answer) = recorded.expect("a recorded call");
        if SAME.contains(&request.method.as_str()) {
            assert_eq!(request.payload, payload, "{}", request.method);
        }
        let length = u32::try_from(answer.len()).unwrap();
        header[..4].copy_from_slice(&length.to_be_bytes());
        header[8] = 2;
        stream.write_all(&header).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
    let left = calls.into_iter().filter(|(_, calls)| !calls.is_empty());
    left.map(|(method, _)| method).collect()
}

async fn read(agent: &Agent, process: &virtcontainers_agent::ProcessRef) -> Option<Vec<u8>> {
    agent
        .read_output(process, OutputStream::Stdout, 4096)
        .await
        .unwrap()
}

async fn first_container(agent: &Agent) {
    let process = init("c1");
    agent
        .create_container(create_request("c1", &["sh"], false))
        .await
        .unwrap();
    agent.start_container(&id("c1")).await.unwrap();
    assert_eq!(read(agent, &process).await.unwrap(), b"out\n");
    let stderr = agent
        .read_output(&process, OutputStream::Stderr, 4096)
        .await
        .unwrap();
    assert_eq!(stderr.unwrap(), b"err\n");
    agent
        .write_stdin(&process, b"hello\n".to_vec())
        .await
        .unwrap();
    assert_eq!(read(agent, &process).await.unwrap(), b"hello\n");
    agent.close_stdin(&process).await.unwrap();
    assert_eq!(
        read(agent, &process).await,
        None,
        "an empty answer is the end"
    );
    assert_eq!(agent.wait_process(&process).await.unwrap(), ExitStatus(3));
    assert_eq!(
        read(agent, &process).await,
        None,
        "so is that of a forgotten process"
    );
    agent
        .remove_container(&id("c1"), Duration::from_secs(10))
        .await
        .unwrap();
}

async fn second_container(agent: &Agent) {
    agent
        .create_container(create_request("c2", &["sleep"], false))
        .await
        .unwrap();
    agent.start_container(&id("c2")).await.unwrap();
    let (pipe, tty, killed) = (exec("c2", "x1"), exec("c2", "x2"), exec("c2", "x3"));
    agent
        .exec_process(&pipe, process(&["sh"], false))
        .await
        .unwrap();
    assert_eq!(read(agent, &pipe).await.unwrap(), b"exec-out\n");
    assert_eq!(agent.wait_process(&pipe).await.unwrap(), ExitStatus(7));
    agent
        .exec_process(&tty, process(&["sh"], true))
        .await
        .unwrap();
    agent.tty_win_resize(&tty, 40, 100).await.unwrap();
    agent
        .write_stdin(&tty, b"echo tty; exit 5\n".to_vec())
        .await
        .unwrap();
    assert_eq!(read(agent, &tty).await.unwrap(), b"echo tty; exit 5\r\n");
    assert_eq!(agent.wait_process(&tty).await.unwrap(), ExitStatus(5));
    agent
        .exec_process(&killed, process(&["sleep"], false))
        .await
        .unwrap();
    agent.signal_process(&killed, 15).await.unwrap();
    assert_eq!(agent.wait_process(&killed).await.unwrap(), ExitStatus(143));
    let stats = agent.stats_container(&id("c2")).await.unwrap();
    assert_eq!(
        stats.cgroup_stats.cpu_stats.cpu_usage.total_usage,
        702_173_000
    );
    agent.pause_container(&id("c2")).await.unwrap();
    agent.resume_container(&id("c2")).await.unwrap();
    let mut limits = oci::LinuxResources::new();
    limits.Memory.mut_or_insert_default().Limit = 64 << 20;
    limits.CPU.mut_or_insert_default().Shares = 512;
    agent.update_container(&id("c2"), limits).await.unwrap();
}

async fn refusals(agent: &Agent) {
    let nosuch = id("nosuch");
    for error in [
        agent.start_container(&nosuch).await.unwrap_err(),
        agent
            .exec_process(&exec("nosuch", "x9"), process(&["true"], false))
            .await
            .unwrap_err(),
        agent
            .wait_process(&exec("c2", "nosuch"))
            .await
            .map(drop)
            .unwrap_err(),
        agent.kill_all(&nosuch).await.unwrap_err(),
        agent.stats_container(&nosuch).await.map(drop).unwrap_err(),
        agent
            .remove_container(&nosuch, Duration::ZERO)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(!error.is_program_not_found());
    }
    let missing = process(&["nosuchprogram"], false);
    let error = agent
        .exec_process(&exec("c2", "x4"), missing)
        .await
        .unwrap_err();
    assert!(error.is_program_not_found());
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.ends_with("the file nosuchprogram was not found"),
        "{source}"
    );
}

#[tokio::test]
async fn a_real_kata_agent_is_understood() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = tokio::spawn(replay(theirs));
    let agent = Agent::over(ours, Timeouts::all(SOON));
    agent.check().await.unwrap();
    let version = agent.version().await.unwrap();
    assert_eq!(
        (version.protocol.as_str(), version.release.as_str()),
        ("0.0.1", "4.1.0")
    );
    let details = agent.guest_details().await.unwrap();
    assert_eq!(
        (details.dialect, details.memory_block_size),
        (Dialect::Kata, 128 << 20)
    );
    assert!(details.facts.agent_is_init);
    assert!(
        details
            .storage_handlers
            .iter()
            .any(|name| name == "virtio-fs")
    );
    agent
        .create_sandbox(agent::CreateSandboxRequest::new())
        .await
        .unwrap();
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(1_795_299_799);
    agent.set_guest_date_time(time).await.unwrap();
    agent.reseed_random_dev(vec![1; 512]).await.unwrap();
    let links = agent.list_interfaces().await.unwrap();
    assert_eq!((links[0].name.as_str(), links[0].mtu), ("lo", 65536));
    assert!(agent.list_routes().await.unwrap().is_empty());

    first_container(&agent).await;
    second_container(&agent).await;
    let path = "/run/kata-containers/shared/containers/copied".to_owned();
    let part = agent::CopyFileRequest {
        path,
        ..Default::default()
    };
    agent.copy_file(part).await.unwrap();
    agent.online_cpu_mem(0, false).await.unwrap();
    refusals(&agent).await;
    agent.kill_all(&id("c2")).await.unwrap();
    assert_eq!(
        agent.wait_process(&init("c2")).await.unwrap(),
        ExitStatus(137)
    );
    agent
        .remove_container(&id("c2"), Duration::from_secs(10))
        .await
        .unwrap();
    assert!(
        agent
            .get_metrics()
            .await
            .unwrap()
            .contains("kata_agent_io_stat")
    );
    agent.destroy_sandbox().await.unwrap();

    drop(agent);
    assert_eq!(
        server.await.unwrap(),
        Vec::<String>::new(),
        "all of it was replayed"
    );
}
