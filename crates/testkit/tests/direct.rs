//! The agent without sockets: it keeps the order of our own, and each of its guests for itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use virtcontainers_agent::streams::{InputEnd, OutputEnd, pump_input, pump_output};
use virtcontainers_agent::{
    AgentEndpoint, AgentPort, Connector, ErrorKind, OutputStream, ProcessRef, Timeouts,
};
use virtcontainers_agent_proto::{agent, oci};
use virtcontainers_testkit::agent::DirectAgent;
use virtcontainers_types::{ContainerId, ExecId};

const SOON: Duration = Duration::from_secs(20);
const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;

fn endpoint(name: &str) -> AgentEndpoint {
    AgentEndpoint::Unix { path: name.into() }
}

fn id(text: &str) -> ContainerId {
    ContainerId::new(text).unwrap()
}

fn init(container: &str) -> ProcessRef {
    ProcessRef::init(id(container))
}

fn exec(container: &str, exec: &str) -> ProcessRef {
    ProcessRef::exec_of(id(container), ExecId::new(exec).unwrap())
}

fn process(args: &[&str]) -> oci::Process {
    oci::Process {
        Args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        Cwd: "/".to_owned(),
        Capabilities: Some(oci::LinuxCapabilities::new()).into(),
        ..Default::default()
    }
}

fn container(id: &str, args: &[&str]) -> agent::CreateContainerRequest {
    let namespaces = ["mount", "ipc", "uts"].map(|kind| oci::LinuxNamespace {
        Type: kind.to_owned(),
        ..Default::default()
    });
    let linux = oci::Linux {
        Namespaces: namespaces.to_vec(),
        Resources: Some(oci::LinuxResources::new()).into(),
        ..Default::default()
    };
    let root = oci::Root {
        Path: "/run/rootfs".to_owned(),
        ..Default::default()
    };
    let spec = oci::Spec {
        Process: Some(process(args)).into(),
        Root: Some(root).into(),
        Linux: Some(linux).into(),
        ..Default::default()
    };
    agent::CreateContainerRequest {
        container_id: id.to_owned(),
        OCI: Some(spec).into(),
        ..Default::default()
    }
}

async fn boot(agents: &DirectAgent, name: &str) -> Arc<dyn AgentPort> {
    let timeouts = Timeouts::all(SOON);
    let endpoint = endpoint(name);
    let port = agents.connect_with_retry(&endpoint, timeouts, SOON);
    let port = port.await.unwrap();
    let request = agent::CreateSandboxRequest::new();
    port.create_sandbox(request).await.unwrap();
    port
}

async fn run(port: &dyn AgentPort, name: &str, args: &[&str]) {
    port.create_container(container(name, args)).await.unwrap();
    port.start_container(&id(name)).await.unwrap();
}

#[tokio::test]
async fn a_process_runs_until_a_signal_and_its_status_stays() {
    let agents = DirectAgent::new();
    let port = boot(&agents, "g1").await;
    run(&*port, "c1", &["sleep"]).await;
    let sleep = process(&["sleep"]);
    port.exec_process(&exec("c1", "e1"), sleep).await.unwrap();
    port.signal_process(&exec("c1", "e1"), SIGTERM)
        .await
        .unwrap();
    let status = port.wait_process(&exec("c1", "e1")).await.unwrap();
    assert_eq!(status.0, 143);
    let (init, other) = (init("c1"), exec("c1", "e2"));
    port.exec_process(&other, process(&["sleep"]))
        .await
        .unwrap();
    let (first, second, of_exec, killed) = tokio::join!(
        port.wait_process(&init),
        port.wait_process(&init),
        port.wait_process(&other),
        port.signal_process(&init, SIGKILL),
    );
    killed.unwrap();
    assert_eq!((first.unwrap().0, second.unwrap().0), (137, 137));
    assert_eq!(of_exec.unwrap().0, 137, "nothing outlives the init");
    assert_eq!(port.wait_process(&init).await.unwrap().0, 137);
    port.remove_container(init.container(), SOON).await.unwrap();
    let gone = port.wait_process(&init).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    run(&*port, "c1", &["sleep"]).await;
    assert_eq!(agents.containers(&endpoint("g1")), ["c1"]);
    agents.assert_clean();
}

#[tokio::test]
async fn a_program_that_was_given_ends_at_once_and_its_output_can_be_read() {
    let agents = DirectAgent::new();
    agents.program("hello", "hello\n", 3);
    let port = boot(&agents, "g1").await;
    run(&*port, "c1", &["hello"]).await;
    assert_eq!(port.wait_process(&init("c1")).await.unwrap().0, 3);
    let (init, mut output) = (init("c1"), Vec::new());
    let end = pump_output(&*port, &init, OutputStream::Stdout, &mut output);
    assert_eq!(end.await.unwrap(), OutputEnd::Finished { bytes: 6 });
    assert_eq!(output, b"hello\n");
    // Nobody reads its input any more.
    let mut more = b"more".as_slice();
    let end = pump_input(&*port, &init, false, &mut more);
    assert_eq!(end.await.unwrap(), InputEnd::ProcessLeft);
}

#[tokio::test]
async fn a_pause_holds_signals_back_but_not_sigkill() {
    let agents = DirectAgent::new();
    let port = boot(&agents, "g1").await;
    for (name, signal, status) in [("c1", SIGTERM, 143), ("c2", SIGKILL, 137)] {
        run(&*port, name, &["sleep"]).await;
        port.pause_container(&id(name)).await.unwrap();
        let again = port.pause_container(&id(name)).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::WrongState);
        let refused = port
            .exec_process(&exec(name, "e"), process(&["sleep"]))
            .await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::WrongState);
        port.signal_process(&init(name), signal).await.unwrap();
        let alive = port.list_processes(&id(name)).await.unwrap().len();
        assert_eq!(alive, usize::from(signal == SIGTERM), "{name}");
        for _ in 0..2 {
            port.resume_container(&id(name)).await.unwrap();
        }
        assert_eq!(port.wait_process(&init(name)).await.unwrap().0, status);
    }
    agents.assert_clean();
}

#[tokio::test]
async fn what_is_against_the_order_is_refused_and_recorded() {
    let agents = DirectAgent::new();
    let timeouts = Timeouts::all(SOON);
    let endpoint = endpoint("g1");
    let port = agents.connect_with_retry(&endpoint, timeouts, SOON);
    let port = port.await.unwrap();
    let early = port.create_container(container("c1", &["sleep"])).await;
    assert_eq!(early.unwrap_err().kind(), ErrorKind::WrongState);
    let sandbox = agent::CreateSandboxRequest::new;
    port.create_sandbox(sandbox()).await.unwrap();
    let twice = port.create_sandbox(sandbox()).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::WrongState);
    run(&*port, "c1", &["sleep"]).await;
    let twice = port.start_container(&id("c1")).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::WrongState);
    assert_eq!(twice.container(), Some("c1"));
    let taken = port.create_container(container("c1", &["sleep"])).await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let exec = exec("c1", "e1");
    port.exec_process(&exec, process(&["sleep"])).await.unwrap();
    let taken = port.exec_process(&exec, process(&["sleep"])).await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let broken = port.create_container(container("c2", &[])).await;
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(agents.violations().len(), 6, "{:?}", agents.violations());
    let unknown = port.stats_container(&id("c9")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert_eq!(agents.violations().len(), 6, "a question is no violation");
}

#[tokio::test]
async fn guests_are_apart_and_end() {
    let agents = DirectAgent::new();
    let (one, two) = (boot(&agents, "g1").await, boot(&agents, "g2").await);
    run(&*one, "c1", &["sleep"]).await;
    assert_eq!(agents.containers(&endpoint("g2")), Vec::<String>::new());
    let init = init("c1");
    let (waited, oom, (), ()) = tokio::join!(
        one.wait_process(&init),
        one.get_oom_event(),
        one.closed(),
        async { agents.end(&endpoint("g1")) },
    );
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(oom.unwrap(), None);
    assert!(one.check().await.unwrap_err().is_gone());
    two.check().await.unwrap();
    let timeouts = Timeouts::all(SOON);
    let none = agents.connect(&endpoint("g1"), timeouts, SOON).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Gone);
    // Booted again: another guest.
    let one = boot(&agents, "g1").await;
    let same = agents.connect(&endpoint("g1"), timeouts, SOON).await;
    run(&*same.unwrap(), "c1", &["sleep"]).await;
    assert_eq!(agents.guests(), 2);
    // Booted without a word of its machine's death.
    boot(&agents, "g1").await;
    assert!(one.check().await.unwrap_err().is_gone());
    two.destroy_sandbox().await.unwrap();
    assert_eq!(agents.guests(), 1);
    agents.assert_clean();
}

#[tokio::test]
async fn out_of_memory_events_come_to_one_who_asks() {
    let agents = DirectAgent::new();
    let port = boot(&agents, "g1").await;
    agents.run_out_of_memory(&endpoint("g1"), "c1");
    assert_eq!(port.get_oom_event().await.unwrap().as_deref(), Some("c1"));
    let (event, second, ()) = tokio::join!(
        biased;
        port.get_oom_event(),
        port.get_oom_event(),
        async { agents.run_out_of_memory(&endpoint("g1"), "c2") },
    );
    assert_eq!(event.unwrap().as_deref(), Some("c2"));
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
}

#[tokio::test]
async fn calls_go_wrong_on_demand_and_processes_end_by_themselves() {
    let agents = DirectAgent::new();
    let port = boot(&agents, "g1").await;
    agents.fail("create_container", ErrorKind::Internal);
    let failed = port.create_container(container("c1", &["sleep"])).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Internal);
    agents.heal("create_container");
    run(&*port, "c1", &["sleep"]).await;
    agents.hang("stats_container");
    let c1 = id("c1");
    let (hung, ()) = tokio::join!(biased; port.stats_container(&c1), async {
        assert!(agents.exit(&endpoint("g1"), "c1", "c1", 5));
        assert_eq!(port.wait_process(&init("c1")).await.unwrap().0, 5);
        assert!(!agents.exit(&endpoint("g1"), "c1", "c1", 6));
        agents.end(&endpoint("g1"));
    });
    assert!(hung.unwrap_err().is_gone());
}

#[tokio::test]
async fn limits_are_seen_in_the_counters() {
    let agents = DirectAgent::new();
    let port = boot(&agents, "g1").await;
    run(&*port, "c1", &["sleep"]).await;
    let limits = oci::LinuxResources {
        Pids: Some(oci::LinuxPids {
            Limit: 7,
            ..Default::default()
        })
        .into(),
        ..Default::default()
    };
    port.update_container(&id("c1"), limits).await.unwrap();
    let first = port.stats_container(&id("c1")).await.unwrap().cgroup_stats;
    let second = port.stats_container(&id("c1")).await.unwrap().cgroup_stats;
    assert_eq!((first.pids_stats.current, first.pids_stats.limit), (1, 7));
    let used = |stats: &agent::CgroupStats| stats.cpu_stats.cpu_usage.total_usage;
    assert!(used(&second) > used(&first));
}
