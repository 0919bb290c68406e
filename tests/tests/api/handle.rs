//! Handles: annotations, who and where the machine is, and several runtimes at one sandbox.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use virtcontainers::types::{AgentEndpoint, ContainerState, ExitStatus, SandboxState};
use virtcontainers::{ContainerIo, ErrorKind};

use crate::rig::{Rig, exec, refused};

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_runtime_and_every_process_sees_the_same_sandbox() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("handle").await?;
    let (id, first) = (sandbox.id().clone(), rig.id("handle")?);

    // Annotations are stored, and added to those that are there.
    let given = annotations(&[("a", "1"), ("b", "2")]);
    sandbox.set_annotations(given.clone()).await?;
    assert_eq!(sandbox.annotations().await?, given);
    let other = rig.another_runtime()?;
    let fetched = other.fetch_sandbox(&id).await?;
    assert_eq!(fetched.annotations().await?, given);
    fetched
        .set_annotations(annotations(&[("b", "3"), ("c", "4")]))
        .await?;
    let all = annotations(&[("a", "1"), ("b", "3"), ("c", "4")]);
    assert_eq!(sandbox.annotations().await?, all);
    assert_eq!(sandbox.status().await?.annotations, all);
    assert_eq!(sandbox.config().await?.annotations, all);

    // Who and where the machine is.
    let monitor = sandbox.hypervisor_pid().await?.context("it is a process")?;
    assert_eq!(fetched.hypervisor_pid().await?, Some(monitor));
    let name = std::fs::read_to_string(format!("/proc/{}/comm", monitor.pid))?;
    assert!(name.contains("qemu"), "{name}");
    let url = sandbox.agent_url().await?;
    match &url {
        AgentEndpoint::Vsock { cid } => assert!(*cid > 2, "{url:?}"),
        AgentEndpoint::HybridVsock { path } | AgentEndpoint::Unix { path } => {
            assert!(path.exists(), "{url:?}");
        }
    }
    assert_eq!(fetched.agent_url().await?, url);

    // A released handle takes up its connection again.
    assert_eq!(exec(&sandbox, &first, &["echo", "1"]).await?, "1\n");
    sandbox.release();
    assert_eq!(exec(&sandbox, &first, &["echo", "2"]).await?, "2\n");
    fetched.release();

    // What another runtime adds, this one starts, and another process sees.
    let second = rig.id("second")?;
    fetched
        .create_container(rig.script("second", "exit 6")?, ContainerIo::default())
        .await?;
    sandbox.start_container(&second).await?;
    assert_eq!(fetched.wait_process(&second, None).await?, ExitStatus(6));
    let waited = other.wait_container(&id, &second).await?;
    assert_eq!(waited, ExitStatus(6));
    let known = other.status_container(&id, &second).await?;
    let known = known.context("it is there")?;
    assert_eq!(known.state, ContainerState::Stopped);
    let words = ["sandbox", "status", "--format", "json", id.as_str()];
    let status = rig.place.vc(words).finish()?.expect(0)?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    assert_eq!(status["state"], "running");
    assert_eq!(status["annotations"]["c"], "4");
    let words = ["exec", id.as_str(), "echo", "from outside"];
    let said = rig.place.vc(words).finish()?.expect(0)?;
    assert_eq!(said.text(), "from outside\n");

    // Whoever monitors sees the end, whoever caused it.
    let monitoring = tokio::spawn({
        let watching = other.fetch_sandbox(&id).await?;
        async move { watching.monitor().await }
    });
    let status = fetched.stop(false).await?;
    assert_eq!(status.state, SandboxState::Stopped);
    assert_eq!(monitoring.await??.state, SandboxState::Stopped);
    assert_eq!(sandbox.monitor().await?.state, SandboxState::Stopped);
    assert_eq!(sandbox.wait_process(&second, None).await?, ExitStatus(6));
    assert_eq!(fetched.annotations().await?, all);
    let url = sandbox.agent_url().await;
    refused(url, ErrorKind::WrongState, &["agent_url", "stopped"])?;
    let pid = sandbox.hypervisor_pid().await;
    refused(pid, ErrorKind::WrongState, &["hypervisor_pid", "stopped"])?;

    other.delete_sandbox(&id, false).await?;
    refused(sandbox.status().await, ErrorKind::NotFound, &[id.as_str()])?;
    refused(sandbox.monitor().await, ErrorKind::NotFound, &[])?;
    let fetched = rig.runtime.fetch_sandbox(&id).await;
    refused(fetched.map(drop), ErrorKind::NotFound, &[id.as_str()])?;
    rig.place.assert_clean()
}
