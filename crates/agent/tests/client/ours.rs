//! What our own agent does beyond the protocol of kata-agent.

use virtcontainers_agent::{AgentPort, ErrorKind};
use virtcontainers_testkit::agent::{FakeAgent, Flavor, Program};

use crate::{SOON, client, create_request, exec, id, init, process, sandbox};

#[tokio::test]
async fn our_agent_lists_processes_and_a_kata_agent_cannot() {
    let fake = FakeAgent::builder()
        .flavor(Flavor::Exact)
        .program("sleep", Program::new().block())
        .build();
    let agent = sandbox(&fake).await;
    let request = create_request("c1", &["sleep", "1000"], false);
    agent.create_container(request).await.unwrap();
    agent.start_container(&id("c1")).await.unwrap();
    let sleep = process(&["sleep", "9"], false);
    agent.exec_process(&exec("c1", "e1"), sleep).await.unwrap();
    let list = agent.list_processes(&id("c1")).await.unwrap();
    let seen: Vec<_> = list
        .iter()
        .map(|process| {
            (
                process.pid,
                process.started_as.clone(),
                process.args.join(" "),
            )
        })
        .collect();
    let expected = [
        (1, Some(init("c1")), "sleep 1000".to_owned()),
        (2, Some(exec("c1", "e1")), "sleep 9".to_owned()),
    ];
    assert_eq!(seen, expected);
    let unknown = agent.list_processes(&id("c2")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);

    let kata = FakeAgent::builder().build();
    let agent = sandbox(&kata).await;
    let error = agent.list_processes(&id("c1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn our_agent_tells_the_status_of_an_init_to_whoever_asks_late() {
    let fake = FakeAgent::builder()
        .flavor(Flavor::Exact)
        .program("sh", Program::new().exit(7))
        .build();
    let agent = sandbox(&fake).await;
    let request = create_request("c1", &["sh"], false);
    agent.create_container(request).await.unwrap();
    agent.start_container(&id("c1")).await.unwrap();
    assert_eq!(agent.wait_process(&init("c1")).await.unwrap().code(), 7);
    let other = client(&fake).await;
    assert_eq!(other.wait_process(&init("c1")).await.unwrap().code(), 7);
    agent.remove_container(&id("c1"), SOON).await.unwrap();
    let gone = other.wait_process(&init("c1")).await;
    // The other connection remembers.
    assert_eq!(gone.unwrap().code(), 7);
    fake.assert_clean();
}
