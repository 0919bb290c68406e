//! Lists of processes.

use ttrpc::Code;
use virtcontainers_agent_proto::agent::PauseContainerRequest;
use virtcontainers_agent_proto::process::{ListProcessesRequest, ListProcessesResponse};
use virtcontainers_agent_proto::process_ttrpc::ProcessServiceClient;

use crate::harness::{Agent, code, ctx};
use crate::spec::{command, sh};

async fn list(agent: &Agent, id: &str) -> ttrpc::Result<ListProcessesResponse> {
    let request = ListProcessesRequest {
        container_id: id.to_owned(),
        ..Default::default()
    };
    let service = ProcessServiceClient::new(agent.connect().await);
    service.list_processes(ctx(), &request).await
}

/// Command line, number, parent, and as what it was started.
fn lines(list: &ListProcessesResponse) -> Vec<(String, u32, u32, String)> {
    let line = |args: &[Vec<u8>]| String::from_utf8_lossy(&args.join(&b' ')).into_owned();
    list.processes
        .iter()
        .map(|one| (line(&one.args), one.pid, one.ppid, one.exec_id.clone()))
        .collect()
}

#[tokio::test]
async fn what_runs_in_a_container_is_listed_and_nothing_else() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            command(&["sh", "-c", "sleep 1000 & echo up; cat; true"]),
        )
        .await;
    agent.run("c2", sh("cat")).await;
    agent.until("c1", "", "up").await;
    let mut other = command(&["sh", "-c", "echo up; cat; true"]);
    other.User.as_mut().unwrap().UID = 77;
    agent.exec("c1", "e1", other).await.unwrap();
    agent.until("c1", "e1", "up").await;
    let listed = list(&agent, "c1").await.unwrap();
    assert!(!listed.truncated);
    let lines = lines(&listed);
    let script = "sh -c sleep 1000 & echo up; cat; true".to_owned();
    assert_eq!(lines[0], (script, 1, 0, "c1".to_owned()));
    // The child in the background, whether it is its program already or not.
    let child = lines.iter().find(|line| line.2 == 1 && line.0 != "cat");
    assert_eq!(child.unwrap().3, "");
    let exec = listed.processes.iter().find(|one| one.exec_id == "e1");
    let exec = exec.unwrap();
    assert_eq!((exec.uid, exec.ppid), (77, 0), "its parent is outside");
    assert_eq!(exec.args, [&b"sh"[..], b"-c", b"echo up; cat; true"]);
    for process in &listed.processes {
        assert!(process.guest_pid > 1 && process.start_ms <= listed.taken_ms);
        assert_eq!(process.user, if process.uid == 0 { "root" } else { "" });
    }
    assert_eq!(list(&agent, "c2").await.unwrap().processes.len(), 1);
    assert_eq!(code(list(&agent, "c3").await), Code::INVALID_ARGUMENT);
}

#[tokio::test]
async fn a_paused_container_and_one_whose_init_has_ended_can_be_listed() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    let pause = PauseContainerRequest {
        container_id: "c1".to_owned(),
        ..Default::default()
    };
    agent.api.pause_container(ctx(), &pause).await.unwrap();
    assert_eq!(list(&agent, "c1").await.unwrap().processes.len(), 1);
    agent.signal("c1", "c1", 9).await.unwrap();
    assert_eq!(agent.wait("c1", "").await.unwrap(), 137);
    assert_eq!(list(&agent, "c1").await.unwrap().processes.len(), 0);
    agent.remove("c1").await.unwrap();
}

#[tokio::test]
async fn long_arguments_are_cut() {
    let agent = Agent::start().await;
    let long = "x".repeat(100_000);
    agent
        .run("c1", command(&["sh", "-c", "echo up; cat; true", &long]))
        .await;
    agent.until("c1", "", "up").await;
    let listed = list(&agent, "c1").await.unwrap();
    assert!(listed.truncated);
    let text: usize = listed.processes[0].args.iter().map(Vec::len).sum();
    assert!(text <= 4096, "{text}");
}
