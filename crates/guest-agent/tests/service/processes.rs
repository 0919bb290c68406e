//! Statuses, signals, waits and execs.

use ttrpc::Code;
use virtcontainers_agent_proto::agent::WaitProcessRequest;

use crate::harness::{Agent, code, ctx};
use crate::spec::sh;

#[tokio::test]
async fn statuses_are_exact_over_codes_and_signals() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    for status in [0, 1, 2, 126, 127, 128, 200, 255] {
        let exec = format!("exit-{status}");
        agent
            .exec("c1", &exec, sh(&format!("exit {status}")))
            .await
            .unwrap();
        assert_eq!(agent.wait("c1", &exec).await.unwrap(), status);
    }
    // Each ends itself, then each is ended from outside. (Busybox's shell ignores SIGQUIT.)
    for signal in [1, 2, 6, 9, 10, 12, 13, 14, 15, 34, 64] {
        let exec = format!("self-{signal}");
        agent
            .exec("c1", &exec, sh(&format!("kill -{signal} $$")))
            .await
            .unwrap();
        assert_eq!(
            agent.wait("c1", &exec).await.unwrap(),
            128 + signal,
            "itself {signal}"
        );
        let exec = format!("sent-{signal}");
        agent
            .exec("c1", &exec, sh("echo up; exec sleep 1000"))
            .await
            .unwrap();
        agent.until("c1", &exec, "up").await;
        agent.signal("c1", &exec, signal as u32).await.unwrap();
        assert_eq!(
            agent.wait("c1", &exec).await.unwrap(),
            128 + signal,
            "sent {signal}"
        );
    }
}

#[tokio::test]
async fn all_who_wait_for_an_init_are_told_until_its_container_is_removed() {
    let agent = Agent::start().await;
    agent.run("c1", sh("read line; exit 9")).await;
    let waits: Vec<_> = (0..5)
        .map(|_| {
            let api = agent.api.clone();
            let request = WaitProcessRequest {
                container_id: "c1".into(),
                ..Default::default()
            };
            tokio::spawn(async move { api.wait_process(ctx(), &request).await.unwrap().status })
        })
        .collect();
    // So that all of them wait: a call on the same connection that comes after them.
    agent.signal("c1", "", 0).await.unwrap();
    agent.write("c1", "", b"\n").await.unwrap();
    for wait in waits {
        assert_eq!(wait.await.unwrap(), 9);
    }
    assert_eq!(agent.wait("c1", "").await.unwrap(), 9);
    assert_eq!(agent.wait("c1", "c1").await.unwrap(), 9);
    agent.signal("c1", "c1", 15).await.unwrap();
    assert_eq!(code(agent.wait("c1", "nope").await), Code::NOT_FOUND);
    assert_eq!(code(agent.wait("c2", "").await), Code::INVALID_ARGUMENT);
    agent.remove("c1").await.unwrap();
    assert_eq!(code(agent.wait("c1", "").await), Code::INVALID_ARGUMENT);
}

#[tokio::test]
async fn a_status_waits_for_whoever_asks_late() {
    let agent = Agent::start().await;
    agent.run("c1", sh("exit 5")).await;
    agent.output("c1", "").await;
    // It has closed its output; its end follows. A dead process takes any signal.
    agent.signal("c1", "c1", 0).await.unwrap();
    agent.signal("c1", "c1", 15).await.unwrap();
    assert_eq!(agent.wait("c1", "").await.unwrap(), 5);
}

#[tokio::test]
async fn term_ends_an_init_without_a_handler_and_runs_one_that_is_there() {
    let agent = Agent::start().await;
    agent.run("plain", sh("echo up; exec sleep 1000")).await;
    agent.until("plain", "", "up").await;
    agent.signal("plain", "", 15).await.unwrap();
    assert_eq!(agent.wait("plain", "").await.unwrap(), 137);
    agent
        .run(
            "handled",
            sh("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"),
        )
        .await;
    agent.until("handled", "", "up").await;
    agent.signal("handled", "", 15).await.unwrap();
    assert_eq!(agent.wait("handled", "").await.unwrap(), 7);
}

#[tokio::test]
async fn kill_without_a_name_ends_all() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    agent
        .exec("c1", "e1", sh("echo up; exec sleep 1000"))
        .await
        .unwrap();
    agent.until("c1", "e1", "up").await;
    // By its own name only init is meant, though its end takes its pid namespace along.
    agent.signal("c1", "", 9).await.unwrap();
    assert_eq!(agent.wait("c1", "e1").await.unwrap(), 137);
    assert_eq!(agent.wait("c1", "").await.unwrap(), 137);
    assert_eq!(
        code(agent.signal("c1", "", 65).await),
        Code::INVALID_ARGUMENT
    );
    assert_eq!(
        code(agent.signal("c2", "", 9).await),
        Code::INVALID_ARGUMENT
    );
    assert_eq!(code(agent.signal("c1", "nope", 9).await), Code::NOT_FOUND);
}

#[tokio::test]
async fn exec_ids_are_unique_while_in_use() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    agent.exec("c1", "e1", sh("cat")).await.unwrap();
    assert_eq!(
        code(agent.exec("c1", "e1", sh("true")).await),
        Code::ALREADY_EXISTS
    );
    assert_eq!(
        code(agent.exec("c1", "c1", sh("true")).await),
        Code::INVALID_ARGUMENT
    );
    assert_eq!(
        code(agent.exec("c1", "", sh("true")).await),
        Code::INVALID_ARGUMENT
    );
    assert_eq!(
        code(agent.exec("c2", "e1", sh("true")).await),
        Code::INVALID_ARGUMENT
    );
    agent.write("c1", "e1", b"").await.unwrap();
    assert_eq!(agent.wait("c1", "e1").await.unwrap(), 0);
    agent.exec("c1", "e1", sh("exit 6")).await.unwrap();
    assert_eq!(agent.wait("c1", "e1").await.unwrap(), 6);
}

#[tokio::test]
async fn two_hundred_execs_lose_nothing() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    for number in 0..200 {
        let exec = format!("e{number}");
        let script = format!("echo out{number}; exit {}", number % 256);
        agent.exec("c1", &exec, sh(&script)).await.unwrap();
        assert_eq!(agent.output("c1", &exec).await, format!("out{number}\n"));
        assert_eq!(agent.wait("c1", &exec).await.unwrap(), number % 256);
    }
}

#[tokio::test]
async fn an_exec_after_the_end_is_refused() {
    let agent = Agent::start().await;
    agent.run("c1", sh("exit 0")).await;
    assert_eq!(agent.wait("c1", "").await.unwrap(), 0);
    assert_eq!(
        code(agent.exec("c1", "e1", sh("true")).await),
        Code::FAILED_PRECONDITION
    );
}
