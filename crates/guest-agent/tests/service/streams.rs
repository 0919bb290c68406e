//! Standard streams: exact, complete, and bounded whatever the other side does.

use std::time::Duration;

use ttrpc::Code;
use virtcontainers_agent_proto::agent::{
    CloseStdinRequest, ReadStreamRequest, TtyWinResizeRequest, WriteStreamRequest,
};

use crate::harness::{Agent, code, ctx, read};
use crate::spec::sh;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_flood_with_a_slow_reader_is_complete_and_costs_no_memory() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    let script = "dd if=/dev/zero bs=64k count=1024 2>/dev/null | tr '\\0' x";
    agent.exec("c1", "flood", sh(script)).await.unwrap();
    let mut total = 0;
    let mut largest = 0;
    let mut rounds = 0;
    let request = ReadStreamRequest {
        len: 4 << 20,
        ..read("c1", "flood")
    };
    let before = agent.resident();
    loop {
        let data = agent.api.read_stdout(ctx(), &request).await.unwrap().data;
        if data.is_empty() {
            break;
        }
        assert!(data.iter().all(|byte| *byte == b'x'));
        assert!(data.len() <= MIB);
        total += data.len();
        rounds += 1;
        if rounds % 32 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            largest = largest.max(agent.resident());
        }
    }
    assert_eq!(total, 64 * MIB);
    assert_eq!(agent.wait("c1", "flood").await.unwrap(), 0);
    let growth = largest.saturating_sub(before);
    assert!(growth < 2 * MIB as u64, "the agent grew by {growth} bytes");
}

#[tokio::test]
async fn input_passes_through_unchanged_and_ends() {
    let agent = Agent::start().await;
    agent.run("c1", sh("md5sum; echo over")).await;
    let block: Vec<u8> = (0..MIB).map(|byte| (byte * 7 % 251) as u8).collect();
    for _ in 0..4 {
        assert_eq!(agent.write("c1", "", &block).await.unwrap() as usize, MIB);
    }
    agent.write("c1", "", b"").await.unwrap();
    assert_eq!(
        code(agent.write("c1", "", b"late").await),
        Code::FAILED_PRECONDITION
    );
    let output = agent.output("c1", "").await;
    assert!(output.ends_with("over\n"), "{output}");
    assert_eq!(agent.wait("c1", "").await.unwrap(), 0);
    // The same bytes in other pieces and by way of a file have the same sum.
    agent
        .run("c2", sh("cat > /tmp/block; md5sum < /tmp/block; echo over"))
        .await;
    for _ in 0..4 {
        for part in block.chunks(100_000) {
            agent.write("c2", "", part).await.unwrap();
        }
    }
    agent.write("c2", "", b"").await.unwrap();
    assert_eq!(agent.output("c2", "").await, output);
}

#[tokio::test]
async fn a_writer_waits_while_nobody_reads_and_others_do_not() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            sh("while [ ! -e /tmp/go ]; do sleep 0.02; done; wc -c"),
        )
        .await;
    let api = agent.api.clone();
    let big = WriteStreamRequest {
        container_id: "c1".into(),
        data: vec![b'y'; 2 * MIB],
        ..Default::default()
    };
    let writer = tokio::spawn(async move { api.write_stdin(ctx(), &big).await.map(|w| w.len) });
    agent.exec("c1", "other", sh("echo free")).await.unwrap();
    assert_eq!(agent.output("c1", "other").await, "free\n");
    assert!(!writer.is_finished(), "2 MiB do not fit a pipe");
    agent.exec("c1", "go", sh("touch /tmp/go")).await.unwrap();
    assert_eq!(writer.await.unwrap().unwrap() as usize, 2 * MIB);
    let close = CloseStdinRequest {
        container_id: "c1".into(),
        ..Default::default()
    };
    agent.api.close_stdin(ctx(), &close).await.unwrap();
    agent.api.close_stdin(ctx(), &close).await.unwrap();
    assert_eq!(agent.output("c1", "").await.trim(), (2 * MIB).to_string());
}

#[tokio::test]
async fn output_of_a_process_that_is_gone_is_still_there() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    for number in 0..30 {
        let exec = format!("e{number}");
        let script = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; exit 3";
        agent.exec("c1", &exec, sh(script)).await.unwrap();
        let ended = agent.signal("c1", &exec, 0);
        ended.await.unwrap();
        let output = agent.output("c1", &exec).await;
        assert_eq!(output.lines().count(), 100, "{exec}");
        assert!(output.ends_with("line 99\n"));
        assert_eq!(agent.errors("c1", &exec).await, "");
        assert_eq!(agent.wait("c1", &exec).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn output_ends_when_the_last_holder_has_gone() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    agent
        .exec("c1", "e1", sh("(sleep 0.3; echo late) & echo early"))
        .await
        .unwrap();
    assert_eq!(agent.output("c1", "e1").await, "early\nlate\n");
    assert_eq!(agent.wait("c1", "e1").await.unwrap(), 0);
}

#[tokio::test]
async fn streams_of_unknown_processes() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    assert_eq!(code(agent.read("c2", "").await), Code::INVALID_ARGUMENT);
    assert_eq!(code(agent.read("c1", "nope").await), Code::NOT_FOUND);
    assert_eq!(code(agent.write("c1", "nope", b"x").await), Code::NOT_FOUND);
    let resize = TtyWinResizeRequest {
        container_id: "c1".into(),
        ..Default::default()
    };
    assert_eq!(
        code(agent.api.tty_win_resize(ctx(), &resize).await),
        Code::UNAVAILABLE
    );
}

#[tokio::test]
async fn output_can_be_read_after_the_status_was_collected() {
    let agent = Agent::start().await;
    agent.run("c1", sh("echo out; echo err >&2; exit 2")).await;
    assert_eq!(agent.wait("c1", "").await.unwrap(), 2);
    assert_eq!(agent.output("c1", "").await, "out\n");
    assert_eq!(agent.errors("c1", "").await, "err\n");
    assert_eq!(
        code(agent.read("c1", "").await),
        Code::NOT_FOUND,
        "nothing is left"
    );
}
