//! The sandbox as a whole: made once, shared by its containers, ended once.

use ttrpc::Code;
use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::oci;

use crate::harness::{Agent, code, ctx};
use crate::spec::{self, sh};

#[tokio::test]
async fn it_is_made_once_and_needed_first() {
    let agent = Agent::start_bare().await;
    assert_eq!(
        code(agent.create("c1", sh("true")).await),
        Code::FAILED_PRECONDITION
    );
    agent.create_sandbox().await.unwrap();
    assert_eq!(code(agent.create_sandbox().await), Code::ALREADY_EXISTS);
    agent.run("c1", sh("exit 0")).await;
    assert_eq!(agent.wait("c1", "").await.unwrap(), 0);
}

#[tokio::test]
async fn containers_share_its_host_name_and_ipc() {
    let agent = Agent::start().await;
    let script = "hostname; readlink /proc/self/ns/ipc /proc/self/ns/uts; cat";
    agent.run("c1", sh(script)).await;
    agent.run("c2", sh(script)).await;
    agent.write("c1", "", b"").await.unwrap();
    agent.write("c2", "", b"").await.unwrap();
    let (first, second) = (agent.output("c1", "").await, agent.output("c2", "").await);
    assert!(first.starts_with("sandbox-host\n"), "{first}");
    assert_eq!(first, second);
    let own = std::fs::read_link("/proc/self/ns/ipc").unwrap();
    assert!(!first.contains(own.to_str().unwrap()));
}

#[tokio::test]
async fn a_shared_pid_namespace_is_that_of_the_first_container() {
    let agent = Agent::start().await;
    agent.run("pause", sh("exec sleep 1000")).await;
    let mut request = spec::container("c1", sh("ps -o args; cat"));
    request.sandbox_pidns = true;
    agent.api.create_container(ctx(), &request).await.unwrap();
    agent.start_container("c1").await.unwrap();
    agent.until("c1", "", "sleep 1000").await;
    agent.run("c2", sh("echo $$; cat")).await;
    agent.until("c2", "", "1\n").await;
}

fn storage(agent: &Agent, driver: &str, name: &str, options: &[&str]) -> Storage {
    Storage {
        driver: driver.into(),
        source: "tmpfs".into(),
        fstype: "tmpfs".into(),
        options: options.iter().map(|word| (*word).to_owned()).collect(),
        mount_point: agent.run_dir().join(name).to_str().unwrap().to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn storages_honour_their_options_and_are_counted() {
    let agent = Agent::start().await;
    let shm = storage(
        &agent,
        "ephemeral",
        "sandbox/shm",
        &["noexec", "mode=1777", "size=1m"],
    );
    let script = "stat -c %a /dev/shm; df -k /dev/shm | tail -1; echo kept >> /dev/shm/f; cat /dev/shm/f; cat";
    for id in ["c1", "c2"] {
        let mut request = spec::container(id, sh(script));
        request.storages = vec![shm.clone()];
        let mount = oci::Mount {
            destination: "/dev/shm".into(),
            source: shm.mount_point.clone(),
            type_: "bind".into(),
            options: vec!["rbind".into()],
            ..Default::default()
        };
        request.OCI.mut_or_insert_default().Mounts.push(mount);
        agent.api.create_container(ctx(), &request).await.unwrap();
        agent.start_container(id).await.unwrap();
        let said = agent.until(id, "", "kept").await;
        assert!(
            said.starts_with("1777\n") && said.contains(" 1024 "),
            "{said}"
        );
    }
    agent.remove("c1").await.unwrap();
    agent
        .exec("c2", "look", sh("cat /dev/shm/f"))
        .await
        .unwrap();
    assert_eq!(
        agent.output("c2", "look").await,
        "kept\nkept\n",
        "the other user keeps it"
    );
}

#[tokio::test]
async fn a_storage_that_fails_undoes_those_before_it() {
    let agent = Agent::start().await;
    let mut request = spec::container("c1", sh("true"));
    request.storages = vec![
        storage(&agent, "ephemeral", "one", &[]),
        storage(&agent, "ephemeral", "two", &["size=nonsense"]),
    ];
    assert_ne!(
        code(agent.api.create_container(ctx(), &request).await),
        Code::OK
    );
    // Mounted once more it is empty and new: the first was unmounted.
    request.storages.pop();
    agent.api.create_container(ctx(), &request).await.unwrap();
    request.container_id = "c2".into();
    request.storages = vec![storage(&agent, "nope", "three", &[])];
    assert_eq!(
        code(agent.api.create_container(ctx(), &request).await),
        Code::INVALID_ARGUMENT
    );
}

#[tokio::test]
async fn its_end_ends_containers_and_waiting_for_events() {
    let agent = Agent::start().await;
    agent.run("c1", sh("trap '' TERM; cat")).await;
    let oom = {
        let api = agent.api.clone();
        tokio::spawn(async move { api.get_oom_event(ctx(), &GetOOMEventRequest::new()).await })
    };
    tokio::task::yield_now().await;
    // The reply may be lost when the agent is faster than its own words.
    let reply = agent
        .api
        .destroy_sandbox(ctx(), &DestroySandboxRequest::new())
        .await;
    drop(reply);
    assert!(oom.await.unwrap().is_err());
    assert!(!agent.run_dir().join("c1").exists());
}

#[tokio::test]
async fn its_end_does_not_wait_for_a_hook() {
    let agent = Agent::start().await;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut request = spec::container("c1", sh("true"));
    let spec = request.OCI.as_mut().unwrap();
    spec.Mounts.push(oci::Mount {
        destination: "/tmp/notes".to_owned(),
        source: folder.path().display().to_string(),
        type_: "bind".to_owned(),
        options: vec!["rbind".to_owned()],
        ..Default::default()
    });
    let hook = oci::Hook {
        Path: "/bin/sh".to_owned(),
        Args: ["sh", "-c", "echo up > /tmp/notes/pipe; sleep 1000"]
            .map(str::to_owned)
            .to_vec(),
        Env: vec!["PATH=/bin".to_owned()],
        Timeout: 1000,
        ..Default::default()
    };
    spec.Hooks = Some(oci::Hooks {
        StartContainer: vec![hook],
        ..Default::default()
    })
    .into();
    agent.api.create_container(ctx(), &request).await.unwrap();
    let start = {
        let api = agent.api.clone();
        let request = StartContainerRequest {
            container_id: "c1".to_owned(),
            ..Default::default()
        };
        tokio::spawn(async move { api.start_container(ctx(), &request).await })
    };
    let said = tokio::task::spawn_blocking(move || std::fs::read_to_string(pipe));
    assert_eq!(said.await.unwrap().unwrap(), "up\n");
    let request = DestroySandboxRequest::new();
    // The reply may be lost when the agent is faster than its own words.
    drop(agent.api.destroy_sandbox(ctx(), &request).await);
    assert!(start.await.unwrap().is_err());
    assert!(!agent.run_dir().join("c1").exists());
}

#[tokio::test]
async fn its_resolver_file_is_that_of_the_request() {
    let agent = Agent::start_bare().await;
    let request = |lines: &[&str]| CreateSandboxRequest {
        sandbox_id: "s1".into(),
        dns: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..Default::default()
    };
    let own = agent.file("/etc/resolv.conf");
    for bad in ["nameserver 10.0.0.1\nsearch evil", "a\0b", "a\rb"] {
        let refused = agent.api.create_sandbox(ctx(), &request(&[bad])).await;
        assert_eq!(code(refused), Code::INVALID_ARGUMENT, "{bad:?}");
    }
    assert_eq!(agent.file("/etc/resolv.conf"), own);
    let good = request(&["nameserver 10.0.0.1", "options\tndots:2"]);
    agent.api.create_sandbox(ctx(), &good).await.unwrap();
    assert_eq!(
        agent.file("/etc/resolv.conf"),
        "nameserver 10.0.0.1\noptions\tndots:2\n"
    );
}
