//! Terminals of a container's own.

use virtcontainers_agent_proto::oci;

use crate::harness::Agent;
use crate::run_process;
use crate::spec::{on_terminal, sh};

#[tokio::test]
async fn it_is_the_containers_console_and_controls_its_session() {
    let agent = Agent::start().await;
    let script = "tty; echo to-console > /dev/console; echo to-tty > /dev/tty; \
                  ls /dev/pts; stty size; stat -c %u $(tty)";
    let mut process = on_terminal(sh(script));
    process.User.as_mut().unwrap().UID = 12;
    process.ConsoleSize = Some(oci::Box {
        Height: 33,
        Width: 101,
        ..Default::default()
    })
    .into();
    let (output, status) = run_process(&agent, process, |_| {}).await;
    let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    assert_eq!(lines[0], "/dev/pts/0", "{output}");
    assert!(lines.contains(&"to-tty"), "{output}");
    assert!(
        lines.contains(&"33 101") && lines.contains(&"12"),
        "{output}"
    );
    assert_eq!(status, 0);
}

#[tokio::test]
async fn the_console_is_the_terminal() {
    let agent = Agent::start().await;
    let process = on_terminal(sh("echo to-console > /dev/console"));
    let (output, status) = run_process(&agent, process, |_| {}).await;
    assert_eq!((output.as_str(), status), ("to-console\r\n", 0));
}

#[tokio::test]
async fn an_exec_has_another() {
    let agent = Agent::start().await;
    agent
        .create("c1", on_terminal(sh("tty; cat")))
        .await
        .unwrap();
    agent.start_container("c1").await.unwrap();
    agent.until("c1", "", "/dev/pts/0").await;
    agent
        .exec("c1", "e1", on_terminal(sh("tty; exit 5")))
        .await
        .unwrap();
    assert_eq!(agent.output("c1", "e1").await, "/dev/pts/1\r\n");
    assert_eq!(agent.wait("c1", "e1").await.unwrap(), 5);
}

#[tokio::test]
async fn without_devpts_it_cannot_be_had() {
    let agent = Agent::start().await;
    let mut request = crate::spec::container("c1", on_terminal(sh("true")));
    request
        .OCI
        .as_mut()
        .unwrap()
        .Mounts
        .retain(|mount| mount.destination != "/dev/pts");
    let (_, message) = crate::refused(&agent, request).await;
    assert!(message.contains("devpts"), "{message}");
}
