//! Hooks where the container is.

use virtcontainers_agent_proto::oci;

use crate::harness::{Agent, ctx};
use crate::spec::sh;
use crate::{mount, refusal, run};

fn hook(script: &str) -> oci::Hook {
    oci::Hook {
        Path: "/bin/sh".to_owned(),
        Args: crate::strings(&["sh", "-c", script]),
        Env: crate::strings(&["PATH=/bin:/usr/bin", "WORD=given"]),
        ..Default::default()
    }
}

#[tokio::test]
async fn they_run_in_the_right_place_with_the_state() {
    let agent = Agent::start().await;
    let notes = tempfile::tempdir().unwrap();
    let folder = notes.path().display().to_string();
    let create = hook(&format!(
        "(cat; echo; hostname; echo $WORD) > {folder}/create"
    ));
    let start = hook("(cat; echo; hostname; id -u) > /notes/start");
    let (output, _) = run(&agent, "cat /notes/start", |spec| {
        spec.Hostname = "hooked".to_owned();
        spec.Root.as_mut().unwrap().Readonly = false;
        spec.Annotations
            .insert("a.key".to_owned(), "its value".to_owned());
        spec.Process.as_mut().unwrap().User.as_mut().unwrap().UID = 77;
        spec.Mounts
            .push(mount("tmpfs", "x", "/notes", &["mode=777"]));
        spec.Hooks = Some(oci::Hooks {
            CreateContainer: vec![create],
            StartContainer: vec![start],
            ..Default::default()
        })
        .into();
    })
    .await;
    let created = std::fs::read_to_string(notes.path().join("create")).unwrap();
    // The agent's files, the container's namespaces.
    assert!(created.ends_with("\nhooked\ngiven\n"), "{created}");
    assert!(created.contains("\"status\":\"creating\""), "{created}");
    assert!(output.ends_with("\nhooked\n0\n"), "{output}");
    for word in [
        "\"id\":\"c1\"",
        "\"a.key\":\"its value\"",
        "\"status\":\"created\"",
        "\"pid\":",
    ] {
        assert!(output.contains(word), "{word}: {output}");
    }
}

#[tokio::test]
async fn one_that_takes_too_long_is_ended() {
    let agent = Agent::start().await;
    let (_, message) = refusal(&agent, |spec| {
        let slow = oci::Hook {
            Timeout: 1,
            ..hook("exec sleep 1000")
        };
        spec.Hooks = Some(oci::Hooks {
            CreateContainer: vec![slow],
            ..Default::default()
        })
        .into();
    })
    .await;
    assert!(message.contains("not done after 1 s"), "{message}");
}

#[tokio::test]
async fn one_that_neither_reads_nor_lets_go_of_its_output_does_not_hold_up_the_rest() {
    let agent = Agent::start().await;
    // More than a pipe holds, and a child that keeps the output open.
    let careless = hook("exec <&-; sleep 1000 & exit 0");
    let (output, status) = run(&agent, "echo ran", |spec| {
        for number in 0..20 {
            let long = "x".repeat(10_000);
            spec.Annotations.insert(format!("a{number}"), long);
        }
        spec.Hooks = Some(oci::Hooks {
            CreateContainer: vec![careless.clone()],
            StartContainer: vec![careless],
            ..Default::default()
        })
        .into();
    })
    .await;
    assert_eq!((output.as_str(), status), ("ran\n", 0));
}

#[tokio::test]
async fn the_last_words_of_one_that_fails_are_told() {
    let agent = Agent::start().await;
    let (_, message) = refusal(&agent, |spec| {
        let script = "i=0; while [ $i -lt 9000 ]; do echo line $i; i=$((i+1)); done; \
                      echo no such disk >&2; exit 4";
        spec.Hooks = Some(oci::Hooks {
            CreateContainer: vec![hook(script)],
            ..Default::default()
        })
        .into();
    })
    .await;
    assert!(message.contains("exit status: 4"), "{message}");
    assert!(message.ends_with("no such disk"), "{message}");
    assert!(message.len() < 5000, "{}", message.len());
}

#[tokio::test]
async fn a_start_hook_that_fails_fails_the_start() {
    let agent = Agent::start().await;
    let mut request = crate::spec::container("c1", sh("echo ran"));
    request.OCI.as_mut().unwrap().Hooks = Some(oci::Hooks {
        StartContainer: vec![hook("exit 3")],
        ..Default::default()
    })
    .into();
    agent.api.create_container(ctx(), &request).await.unwrap();
    let error = agent.start_container("c1").await.unwrap_err().to_string();
    assert!(
        error.contains("startContainer hook /bin/sh") && error.contains('3'),
        "{error}"
    );
    assert_eq!(agent.output("c1", "").await, "");
    agent.remove("c1").await.unwrap();
}
