//! Containers from creation to removal, and what is refused on the way.

use ttrpc::Code;
use virtcontainers_agent_proto::agent::*;

use crate::harness::{Agent, code, ctx, read};
use crate::spec::{self, command, sh};

#[tokio::test]
async fn a_container_lives_and_goes_without_a_trace() {
    let agent = Agent::start().await;
    agent
        .create("c1", sh("echo out; echo err >&2; exit 42"))
        .await
        .unwrap();
    agent.start_container("c1").await.unwrap();
    assert_eq!(agent.output("c1", "").await, "out\n");
    assert_eq!(agent.errors("c1", "").await, "err\n");
    assert_eq!(agent.wait("c1", "c1").await.unwrap(), 42);
    agent.remove("c1").await.unwrap();
    assert!(!agent.run_dir().join("c1").exists());
    assert_eq!(code(agent.remove("c1").await), Code::INVALID_ARGUMENT);
    // The same id again.
    agent.run("c1", sh("exit 3")).await;
    assert_eq!(agent.wait("c1", "").await.unwrap(), 3);
}

#[tokio::test]
async fn the_program_does_not_run_before_the_start() {
    let agent = Agent::start().await;
    agent.create("c1", sh("echo running; cat")).await.unwrap();
    agent.exec("c1", "ps", sh("ps -o args")).await.unwrap();
    let processes = agent.output("c1", "ps").await;
    assert!(!processes.contains("echo running"), "{processes}");
    agent.start_container("c1").await.unwrap();
    agent.until("c1", "", "running").await;
}

#[tokio::test]
async fn a_container_starts_once_and_only_alive() {
    let agent = Agent::start().await;
    agent.create("c1", sh("cat")).await.unwrap();
    agent.start_container("c1").await.unwrap();
    assert_eq!(
        code(agent.start_container("c1").await),
        Code::FAILED_PRECONDITION
    );
    agent.create("c2", sh("cat")).await.unwrap();
    agent.signal("c2", "", 9).await.unwrap();
    assert_eq!(agent.wait("c2", "").await.unwrap(), 137);
    assert_eq!(
        code(agent.start_container("c2").await),
        Code::FAILED_PRECONDITION
    );
    assert_eq!(
        code(agent.start_container("c3").await),
        Code::INVALID_ARGUMENT
    );
    // Neither has hurt the first.
    agent.write("c1", "", b"still here\n").await.unwrap();
    agent.until("c1", "", "still here").await;
}

#[tokio::test]
async fn a_duplicate_is_refused_and_the_first_untouched() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    assert_eq!(
        code(agent.create("c1", sh("true")).await),
        Code::ALREADY_EXISTS
    );
    agent.write("c1", "", b"alive\n").await.unwrap();
    agent.until("c1", "", "alive").await;
}

#[tokio::test]
async fn of_simultaneous_creations_one_wins() {
    let agent = Agent::start().await;
    let tries = (0..8).map(|_| {
        let api = agent.api.clone();
        tokio::spawn(async move {
            code(
                api.create_container(ctx(), &spec::container("c1", sh("cat")))
                    .await,
            )
        })
    });
    let mut codes = Vec::new();
    for attempt in tries.collect::<Vec<_>>() {
        codes.push(attempt.await.unwrap());
    }
    assert_eq!(
        codes.iter().filter(|code| **code == Code::OK).count(),
        1,
        "{codes:?}"
    );
    assert_eq!(
        codes
            .iter()
            .filter(|code| **code == Code::ALREADY_EXISTS)
            .count(),
        7
    );
}

#[tokio::test]
async fn a_program_that_cannot_run_ends_with_126_or_127_and_says_why() {
    let agent = Agent::start().await;
    for (number, program, status) in [(1, "/bin/no-such-program", 127), (2, "/etc/passwd", 126)] {
        let id = format!("c{number}");
        agent.run(&id, command(&[program])).await;
        let said = agent.errors(&id, "").await;
        assert!(said.contains(program), "{said}");
        assert_eq!(agent.wait(&id, "").await.unwrap(), status);
        agent.remove(&id).await.unwrap();
    }
    agent.run("c3", sh("cat")).await;
    agent
        .exec("c3", "e1", command(&["no-such-program"]))
        .await
        .unwrap();
    assert!(agent.errors("c3", "e1").await.contains("no-such-program"));
    assert_eq!(agent.wait("c3", "e1").await.unwrap(), 127);
}

#[tokio::test]
async fn pause_and_resume() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    let pause = PauseContainerRequest {
        container_id: "c1".into(),
        ..Default::default()
    };
    let resume = ResumeContainerRequest {
        container_id: "c1".into(),
        ..Default::default()
    };
    // It is as it was asked to be.
    agent.api.resume_container(ctx(), &resume).await.unwrap();
    agent.api.pause_container(ctx(), &pause).await.unwrap();
    assert_eq!(
        code(agent.api.pause_container(ctx(), &pause).await),
        Code::FAILED_PRECONDITION
    );
    assert_eq!(
        code(agent.exec("c1", "e", sh("true")).await),
        Code::FAILED_PRECONDITION
    );
    agent.write("c1", "", b"frozen\n").await.unwrap();
    let api = agent.api.clone();
    let read = tokio::spawn(async move { api.read_stdout(ctx(), &read("c1", "")).await });
    for _ in 0..20 {
        agent.check().await;
    }
    assert!(!read.is_finished(), "a paused container does not write");
    agent.api.resume_container(ctx(), &resume).await.unwrap();
    assert_eq!(read.await.unwrap().unwrap().data, b"frozen\n");
    // A paused container can be ended.
    agent.api.pause_container(ctx(), &pause).await.unwrap();
    agent.remove("c1").await.unwrap();
}

#[tokio::test]
async fn a_paused_container_answers_and_can_be_killed() {
    let agent = Agent::start().await;
    for exec in ["", "c1"] {
        agent.run("c1", sh("trap '' TERM; cat")).await;
        let pause = PauseContainerRequest {
            container_id: "c1".into(),
            ..Default::default()
        };
        agent.api.pause_container(ctx(), &pause).await.unwrap();
        let asked = StatsContainerRequest {
            container_id: "c1".into(),
            ..Default::default()
        };
        let stats = agent.api.stats_container(ctx(), &asked).await.unwrap();
        assert!(stats.cgroup_stats.is_some());
        // All of it, then its init alone.
        agent.signal("c1", exec, 9).await.unwrap();
        assert_eq!(agent.wait("c1", "").await.unwrap(), 137);
        let resume = ResumeContainerRequest {
            container_id: "c1".into(),
            ..Default::default()
        };
        agent.api.resume_container(ctx(), &resume).await.unwrap();
        agent.remove("c1").await.unwrap();
    }
}

#[tokio::test]
async fn statistics_and_limits_name_their_container() {
    let agent = Agent::start().await;
    agent.run("c1", sh("cat")).await;
    let asked = StatsContainerRequest {
        container_id: "c1".into(),
        ..Default::default()
    };
    let stats = agent.api.stats_container(ctx(), &asked).await.unwrap();
    assert!(stats.cgroup_stats.is_some());
    assert!(stats.network_stats.iter().any(|link| link.name == "lo"));
    let asked = StatsContainerRequest {
        container_id: "c2".into(),
        ..Default::default()
    };
    assert_eq!(
        code(agent.api.stats_container(ctx(), &asked).await),
        Code::INVALID_ARGUMENT
    );
    let update = UpdateContainerRequest {
        container_id: "c1".into(),
        ..Default::default()
    };
    agent.api.update_container(ctx(), &update).await.unwrap();
}

#[tokio::test]
async fn removal_ends_what_runs() {
    let agent = Agent::start().await;
    agent
        .run(
            "c1",
            sh("trap '' TERM; (trap '' HUP TERM; sleep 1000) & echo up; cat"),
        )
        .await;
    agent.until("c1", "", "up").await;
    let waiter = {
        let api = agent.api.clone();
        let request = WaitProcessRequest {
            container_id: "c1".into(),
            ..Default::default()
        };
        tokio::spawn(async move { api.wait_process(ctx(), &request).await.map(|w| w.status) })
    };
    agent.remove("c1").await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap_or(137), 137);
    assert!(!agent.run_dir().join("c1").exists());
}

#[tokio::test]
async fn many_containers_side_by_side() {
    let agent = Agent::start().await;
    let mut tasks = Vec::new();
    for number in 0..12 {
        let api = agent.api.clone();
        tasks.push(tokio::spawn(async move {
            let id = format!("c{number}");
            let request = spec::container(&id, sh(&format!("echo {number}; exit {number}")));
            api.create_container(ctx(), &request).await.unwrap();
            let start = StartContainerRequest {
                container_id: id.clone(),
                ..Default::default()
            };
            api.start_container(ctx(), &start).await.unwrap();
            let out = api.read_stdout(ctx(), &read(&id, "")).await.unwrap();
            assert_eq!(out.data, format!("{number}\n").into_bytes());
            let wait = WaitProcessRequest {
                container_id: id.clone(),
                ..Default::default()
            };
            assert_eq!(api.wait_process(ctx(), &wait).await.unwrap().status, number);
            let remove = RemoveContainerRequest {
                container_id: id,
                ..Default::default()
            };
            api.remove_container(ctx(), &remove).await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}
