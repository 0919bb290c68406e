//! Processes on a terminal.

use std::time::Duration;

use ttrpc::Code;
use virtcontainers_agent_proto::agent::{CloseStdinRequest, TtyWinResizeRequest};

use crate::harness::{Agent, code, ctx};
use crate::spec::{on_terminal, sh};

#[tokio::test]
async fn it_is_one_and_ends_with_an_empty_read() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            on_terminal(sh("test -t 0 && test -t 1 && tty; exit 8")),
        )
        .await;
    let output = agent.output("c1", "").await;
    assert!(output.starts_with("/dev/"), "{output:?}");
    assert!(output.ends_with("\r\n"));
    assert_eq!(agent.errors("c1", "").await, "");
    assert_eq!(agent.wait("c1", "").await.unwrap(), 8);
}

#[tokio::test]
async fn the_window_has_the_size_that_was_set() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            on_terminal(sh("read go; stty size; read go; stty size")),
        )
        .await;
    for (row, column) in [(24, 80), (50, 132)] {
        let size = TtyWinResizeRequest {
            container_id: "c1".into(),
            row,
            column,
            ..Default::default()
        };
        agent.api.tty_win_resize(ctx(), &size).await.unwrap();
        agent.write("c1", "", b"\n").await.unwrap();
        agent.until("c1", "", &format!("{row} {column}")).await;
    }
    let size = TtyWinResizeRequest {
        container_id: "c1".into(),
        row: 70_000,
        ..Default::default()
    };
    let refused = code(agent.api.tty_win_resize(ctx(), &size).await);
    assert!(
        matches!(refused, Code::INVALID_ARGUMENT | Code::NOT_FOUND),
        "{refused:?}"
    );
}

#[tokio::test]
async fn closing_the_input_is_an_end_of_file_and_no_hang_up() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            on_terminal(sh("trap 'echo hup; exit 1' HUP; cat; echo after; exit 0")),
        )
        .await;
    agent.write("c1", "", b"typed\nhalf a line").await.unwrap();
    let close = CloseStdinRequest {
        container_id: "c1".into(),
        ..Default::default()
    };
    agent.api.close_stdin(ctx(), &close).await.unwrap();
    let output = agent.output("c1", "").await;
    assert!(output.contains("half a line"), "{output:?}");
    assert!(output.ends_with("after\r\n"), "{output:?}");
    assert!(!output.contains("hup"));
    assert_eq!(agent.wait("c1", "").await.unwrap(), 0);
}

#[tokio::test]
async fn keys_reach_the_program() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            on_terminal(sh(
                "trap 'echo int; exit 5' INT; echo up; while :; do sleep 0.05; done",
            )),
        )
        .await;
    agent.until("c1", "", "up").await;
    agent.write("c1", "", b"\x03").await.unwrap();
    agent.until("c1", "", "int").await;
    assert_eq!(agent.wait("c1", "").await.unwrap(), 5);
}

#[tokio::test]
async fn a_child_in_the_background_does_not_hold_the_output_open() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    let script = "(trap '' HUP; sleep 1000) & echo done";
    agent
        .exec("c1", "e1", on_terminal(sh(script)))
        .await
        .unwrap();
    let output = tokio::time::timeout(Duration::from_secs(10), agent.output("c1", "e1")).await;
    assert_eq!(output.unwrap(), "done\r\n");
    assert_eq!(agent.wait("c1", "e1").await.unwrap(), 0);
}
