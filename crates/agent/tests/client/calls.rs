//! The calls: whole lives of containers, refusals before anything is sent, errors of the agent.

use std::time::{Duration, SystemTime};

use virtcontainers_agent::network::{GuestNetwork, set_up};
use virtcontainers_agent::spec::Dialect;
use virtcontainers_agent::{AgentPort, ErrorKind, OutputStream, copy};
use virtcontainers_agent_proto::types::{ARPNeighbor, IPAddress, Interface, Route};
use virtcontainers_agent_proto::{agent, oci};
use virtcontainers_testkit::agent::{FakeAgent, Fault, Flavor, Program};
use virtcontainers_types::ExitStatus;

use crate::{client, create_request, exec, id, init, process, run, sandbox};

const MAC: &str = "02:00:00:00:00:01";

#[tokio::test]
async fn a_container_lives_and_dies_by_the_rules() {
    let program = Program::new().stdout("out\n").stderr("err\n").exit(3);
    let fake = FakeAgent::builder().program("sh", program).build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["sh"], false).await;
    for (stream, text) in [
        (OutputStream::Stdout, "out\n"),
        (OutputStream::Stderr, "err\n"),
    ] {
        let data = agent.read_output(&process, stream, 4096).await.unwrap();
        assert_eq!(data.unwrap(), text.as_bytes());
        assert_eq!(
            agent.read_output(&process, stream, 4096).await.unwrap(),
            None
        );
    }
    assert_eq!(agent.wait_process(&process).await.unwrap(), ExitStatus(3));
    // The agent has forgotten the process; we have not.
    assert_eq!(agent.wait_process(&process).await.unwrap(), ExitStatus(3));
    let end = agent
        .read_output(&process, OutputStream::Stdout, 4096)
        .await;
    assert_eq!(end.unwrap(), None);
    agent
        .remove_container(&id("c1"), Duration::from_millis(1500))
        .await
        .unwrap();
    assert!(!fake.has_container("c1"));
    agent.destroy_sandbox().await.unwrap();
    fake.assert_clean();
}

#[tokio::test]
async fn an_exec_has_a_life_of_its_own() {
    let fake = FakeAgent::builder()
        .program("sleep", Program::new().block())
        .program("true", Program::new())
        .build();
    let agent = sandbox(&fake).await;
    let first = run(&agent, "c1", &["sleep"], false).await;
    let (quick, slow) = (exec("c1", "x1"), exec("c1", "x2"));
    agent
        .exec_process(&quick, process(&["true"], false))
        .await
        .unwrap();
    agent
        .exec_process(&slow, process(&["sleep"], false))
        .await
        .unwrap();
    assert_eq!(agent.wait_process(&quick).await.unwrap(), ExitStatus(0));
    let in_use = agent
        .exec_process(&slow, process(&["true"], false))
        .await
        .unwrap_err();
    assert_eq!(in_use.kind(), ErrorKind::AlreadyExists);
    assert_eq!(
        (in_use.container(), in_use.exec()),
        (Some("c1"), Some("x2"))
    );
    agent.signal_process(&slow, 15).await.unwrap();
    assert_eq!(agent.wait_process(&slow).await.unwrap(), ExitStatus(143));
    agent.signal_process(&first, 9).await.unwrap();
    assert_eq!(agent.wait_process(&first).await.unwrap(), ExitStatus(137));
    fake.assert_clean();
}

#[tokio::test]
async fn killing_all_reaches_init_and_execs_and_killing_init_does_not() {
    let fake = FakeAgent::builder()
        .program("sleep", Program::new().block())
        .build();
    let agent = sandbox(&fake).await;
    let first = run(&agent, "c1", &["sleep"], false).await;
    let other = exec("c1", "x1");
    agent
        .exec_process(&other, process(&["sleep"], false))
        .await
        .unwrap();
    agent.signal_process(&first, 9).await.unwrap();
    assert_eq!(agent.wait_process(&first).await.unwrap(), ExitStatus(137));
    let waiting = tokio::spawn({
        let (agent, other) = (agent.clone(), other.clone());
        async move { agent.wait_process(&other).await }
    });
    agent.kill_all(&id("c1")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), ExitStatus(137));
    fake.assert_clean();
}

#[tokio::test]
async fn what_would_harm_the_agent_is_not_sent() {
    let fake = FakeAgent::builder()
        .program("sleep", Program::new().block())
        .build();
    let agent = sandbox(&fake).await;
    let first = run(&agent, "c1", &["sleep"], true).await;
    let before = fake.calls().len();

    let kind = |result: Result<(), virtcontainers_agent::Error>| result.unwrap_err().kind();
    let again = agent
        .create_sandbox(agent::CreateSandboxRequest::new())
        .await;
    assert_eq!(kind(again), ErrorKind::WrongState);
    let again = agent
        .create_container(create_request("c1", &["sleep"], false))
        .await;
    assert_eq!(kind(again), ErrorKind::AlreadyExists);
    assert_eq!(
        kind(agent.start_container(&id("c1")).await),
        ErrorKind::WrongState
    );
    assert_eq!(kind(agent.close_stdin(&first).await), ErrorKind::WrongState);
    assert_eq!(
        kind(agent.write_stdin(&first, Vec::new()).await),
        ErrorKind::Invalid
    );
    let huge = vec![0; (1 << 20) + 1];
    assert_eq!(
        kind(agent.write_stdin(&first, huge).await),
        ErrorKind::Invalid
    );
    let read = agent.read_output(&first, OutputStream::Stdout, 0).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Invalid);
    let stderr = agent.read_output(&first, OutputStream::Stderr, 4096).await;
    assert_eq!(stderr.unwrap(), None, "a terminal has no standard error");
    let as_init = exec("c1", "c1");
    let as_init = agent
        .exec_process(&as_init, process(&["sleep"], false))
        .await;
    assert_eq!(kind(as_init), ErrorKind::Invalid);
    assert_eq!(
        kind(agent.reseed_random_dev(Vec::new()).await),
        ErrorKind::Invalid
    );
    let mut reserved = create_request("c2", &["sleep"], false);
    reserved.container_id = "shared".to_owned();
    assert_eq!(
        kind(agent.create_container(reserved).await),
        ErrorKind::Invalid
    );

    assert_eq!(fake.calls().len(), before, "nothing of this was sent");
    fake.assert_clean();
}

#[tokio::test]
async fn a_missing_program_is_told_as_such() {
    let fake = FakeAgent::builder()
        .program("sleep", Program::new().block())
        .build();
    let agent = sandbox(&fake).await;
    let error = agent
        .create_container(create_request("c1", &["nope"], false))
        .await
        .unwrap_err();
    assert!(error.is_program_not_found());
    assert_eq!(
        (error.kind(), error.rpc_code()),
        (ErrorKind::NotFound, Some(13))
    );
    // The id is spent: the failed container's remains are in the guest.
    let again = agent
        .create_container(create_request("c1", &["sleep"], false))
        .await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);

    run(&agent, "c2", &["sleep"], false).await;
    let missing = exec("c2", "x");
    let error = agent
        .exec_process(&missing, process(&["nope"], false))
        .await
        .unwrap_err();
    assert!(error.is_program_not_found());
    // An exec id is free after a refusal.
    agent
        .exec_process(&missing, process(&["sleep"], false))
        .await
        .unwrap();
    fake.assert_clean();
}

#[tokio::test]
async fn unknown_objects_are_not_found_whatever_code_the_agent_uses() {
    let fake = FakeAgent::builder().build();
    let agent = sandbox(&fake).await;
    let nobody = init("nosuch");
    let limits = oci::LinuxResources::new();
    for error in [
        agent.start_container(&id("nosuch")).await.unwrap_err(),
        agent
            .remove_container(&id("nosuch"), Duration::ZERO)
            .await
            .unwrap_err(),
        agent
            .stats_container(&id("nosuch"))
            .await
            .map(drop)
            .unwrap_err(),
        agent
            .update_container(&id("nosuch"), limits)
            .await
            .unwrap_err(),
        agent.wait_process(&nobody).await.map(drop).unwrap_err(),
        agent.signal_process(&nobody, 15).await.unwrap_err(),
        agent.kill_all(&id("nosuch")).await.unwrap_err(),
        agent.pause_container(&id("nosuch")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert_eq!(error.container(), Some("nosuch"));
    }
    fake.assert_clean();
}

#[tokio::test]
async fn the_deadline_ends_a_call_that_gets_no_answer() {
    let fake = FakeAgent::builder().build();
    let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
    fake.serve_stream(theirs);
    let timeouts = virtcontainers_agent::Timeouts::all(Duration::from_millis(200));
    let agent = virtcontainers_agent::Agent::over(ours, timeouts);
    agent.check().await.unwrap();
    fake.on("GetMetrics", Fault::Silence);
    let error = agent.get_metrics().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // The connection is still good.
    assert_eq!(agent.version().await.unwrap().release, "4.1.0");
}

#[tokio::test]
async fn a_lost_connection_ends_every_call_at_once_and_for_good() {
    let fake = FakeAgent::builder()
        .program("sleep", Program::new().block())
        .build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["sleep"], false).await;
    let die = async {
        while !fake.calls().iter().any(|call| call == "WaitProcess") {
            tokio::task::yield_now().await;
        }
        fake.die();
    };
    let (waited, ()) = tokio::join!(agent.wait_process(&process), die);
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Gone);
    agent.closed().await;
    let later = agent.get_metrics().await.unwrap_err();
    assert_eq!(
        later.kind(),
        ErrorKind::Gone,
        "{later}: {:?}",
        std::error::Error::source(&later)
    );
    let read = agent
        .read_output(&process, OutputStream::Stdout, 4096)
        .await;
    assert_eq!(
        read.unwrap_err().kind(),
        ErrorKind::Gone,
        "not the end of the stream"
    );
    agent.destroy_sandbox().await.unwrap();
}

#[tokio::test]
async fn the_loss_of_the_connection_is_the_success_of_the_last_call() {
    let fake = FakeAgent::builder().build();
    let agent = sandbox(&fake).await;
    fake.on("DestroySandbox", Fault::Disconnect);
    agent.destroy_sandbox().await.unwrap();
}

#[tokio::test]
async fn dropping_a_call_leaves_the_connection_usable() {
    let fake = FakeAgent::builder()
        .program("cat", Program::new().block())
        .build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["cat"], false).await;
    // Nobody reads its input, so that the pipe fills and the last write never ends.
    for _ in 0..3 {
        let write = agent.write_stdin(&process, vec![7; 1 << 20]);
        drop(tokio::time::timeout(Duration::from_millis(50), write).await);
    }
    agent.check().await.unwrap();
    fake.assert_clean();
}

#[tokio::test]
async fn out_of_memory_events_come_one_by_one_until_the_sandbox_ends() {
    let fake = FakeAgent::builder().build();
    let agent = sandbox(&fake).await;
    fake.run_out_of_memory("c1");
    fake.run_out_of_memory("c2");
    assert_eq!(agent.get_oom_event().await.unwrap().as_deref(), Some("c1"));
    assert_eq!(agent.get_oom_event().await.unwrap().as_deref(), Some("c2"));
    let end = async {
        while fake
            .calls()
            .iter()
            .filter(|call| *call == "GetOOMEvent")
            .count()
            < 3
        {
            tokio::task::yield_now().await;
        }
        agent.destroy_sandbox().await.unwrap();
    };
    let (event, ()) = tokio::join!(agent.get_oom_event(), end);
    assert_eq!(event.unwrap(), None);
    fake.assert_clean();
}

#[tokio::test]
async fn the_network_is_set_up_in_order() {
    let fake = FakeAgent::builder().link(MAC).build();
    let agent = client(&fake).await;
    let address = |address: &str, mask: &str| IPAddress {
        address: address.to_owned(),
        mask: mask.to_owned(),
        ..Default::default()
    };
    let network = GuestNetwork {
        interfaces: vec![Interface {
            name: "eth0".to_owned(),
            hwAddr: MAC.to_owned(),
            mtu: 1500,
            IPAddresses: vec![address("10.0.0.2", "24")],
            ..Default::default()
        }],
        routes: vec![Route {
            gateway: "10.0.0.1".to_owned(),
            device: "eth0".to_owned(),
            ..Default::default()
        }],
        neighbors: vec![ARPNeighbor {
            toIPAddress: Some(address("10.0.0.1", "")).into(),
            device: "eth0".to_owned(),
            lladdr: "02:00:00:00:00:02".to_owned(),
            ..Default::default()
        }],
    };
    set_up(&agent, &network).await.unwrap();
    assert_eq!(agent.list_interfaces().await.unwrap(), network.interfaces);
    assert_eq!(agent.list_routes().await.unwrap(), network.routes);

    let mut small = network.interfaces[0].clone();
    small.mtu = 0;
    let error = agent.update_interface(small).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let mut mask = network.interfaces[0].clone();
    mask.IPAddresses[0].mask = "255.255.255.0".to_owned();
    assert_eq!(
        agent.update_interface(mask).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    fake.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_link_that_does_not_appear_is_given_up() {
    let fake = FakeAgent::builder().build();
    let agent = client(&fake).await;
    let interface = Interface {
        name: "eth0".to_owned(),
        hwAddr: MAC.to_owned(),
        mtu: 1500,
        ..Default::default()
    };
    let error = agent.update_interface(interface).await.unwrap_err();
    assert!(
        error.rpc_message().unwrap().contains("Link not found"),
        "{error:?}"
    );
    let tries = fake
        .calls()
        .iter()
        .filter(|call| *call == "UpdateInterface")
        .count();
    assert!((5..=11).contains(&tries), "{tries} tries in a second");
}

#[tokio::test]
async fn files_are_copied_in_parts() {
    let fake = FakeAgent::builder().build();
    let agent = sandbox(&fake).await;
    let place = |name: &str| copy::Place {
        path: format!("/run/kata-containers/shared/containers/{name}"),
        mode: 0o644,
        parents_mode: 0o755,
        uid: 0,
        gid: 0,
    };
    let content: Vec<u8> = (0..(5 << 19) + 7).map(|n: u32| (n % 251) as u8).collect();
    let size = content.len() as u64;
    copy::file(&agent, &place("big"), size, &mut content.as_slice())
        .await
        .unwrap();
    copy::file(&agent, &place("empty"), 0, &mut [].as_slice())
        .await
        .unwrap();
    copy::symlink(&agent, &place("link"), "big").await.unwrap();
    copy::directory(&agent, &place("dir")).await.unwrap();
    let files = fake.files();
    assert!(files[&place("big").path] == content);
    assert!(files[&place("empty").path].is_empty());
    assert_eq!(files[&place("link").path], b"big");
    assert!(files.contains_key(&place("dir").path));

    let short = copy::file(&agent, &place("short"), 9, &mut [1u8; 8].as_slice()).await;
    assert_eq!(short.unwrap_err().kind(), ErrorKind::Invalid);
    for outside in ["../x", "a/../../x", "."] {
        let error = copy::directory(&agent, &place(outside)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{outside}");
    }
    fake.assert_clean();
}

#[tokio::test]
async fn the_rest_of_the_calls_reach_the_agent() {
    let fake = FakeAgent::builder()
        .program("sleep", Program::new().block())
        .build();
    let agent = sandbox(&fake).await;
    let process = run(&agent, "c1", &["sleep"], true).await;
    agent.tty_win_resize(&process, 40, 100).await.unwrap();
    assert_eq!(fake.window_size("c1", ""), Some((40, 100)));
    agent.pause_container(&id("c1")).await.unwrap();
    agent.resume_container(&id("c1")).await.unwrap();
    agent
        .update_container(&id("c1"), oci::LinuxResources::new())
        .await
        .unwrap();
    agent.stats_container(&id("c1")).await.unwrap();
    agent.online_cpu_mem(2, true).await.unwrap();
    agent.set_guest_date_time(SystemTime::now()).await.unwrap();
    agent.reseed_random_dev(vec![1; 512]).await.unwrap();
    assert!(agent.get_metrics().await.unwrap().contains("kata_agent"));
    agent.get_volume_stats("/run").await.unwrap();
    fake.assert_clean();
}

#[tokio::test]
async fn guest_details_tell_the_dialect() {
    for (flavor, dialect) in [
        (Flavor::Kata, Dialect::Kata),
        (Flavor::Exact, Dialect::Exact),
    ] {
        let fake = FakeAgent::builder().flavor(flavor).build();
        let details = client(&fake).await.guest_details().await.unwrap();
        assert_eq!(details.dialect, dialect);
        assert!(details.facts.seccomp && details.facts.agent_is_init);
        assert_eq!(details.memory_block_size, 128 << 20);
    }
}

#[tokio::test]
async fn a_policy_that_the_agent_cannot_have_is_unsupported() {
    let fake = FakeAgent::builder().build();
    let error = client(&fake)
        .await
        .set_policy("package x".to_owned())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    fake.assert_clean();
}
