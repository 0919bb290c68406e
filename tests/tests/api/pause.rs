//! Pause and resume of a whole sandbox.

use anyhow::Result;
use rustix::process::Signal;
use virtcontainers::ErrorKind;
use virtcontainers::types::{ContainerState, SandboxState};

use crate::rig::{COUNT, Rig, Writes, exec, refused, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_sandbox_stands_still_and_goes_on() -> Result<()> {
    let rig = Rig::new()?;
    let writes = Writes::to(&rig.shared())?;
    let sandbox = rig.run(rig.script("paused", COUNT)?).await?;
    let container = rig.id("paused")?;
    writes.go_on()?;

    refused(
        sandbox.resume().await,
        ErrorKind::WrongState,
        &["running", "it needs no resume"],
    )?;
    let status = sandbox.pause().await?;
    assert_eq!(status.state, SandboxState::Paused);
    assert_eq!(status.containers[0].state, ContainerState::Paused);
    writes.stand_still()?;
    let before = rig.read_shared("counter")?;
    assert_eq!(sandbox.status().await?.state, SandboxState::Paused);

    let exec_refused = sandbox
        .enter_container(request(&container, &["true"], None))
        .await;
    refused(
        exec_refused,
        ErrorKind::WrongState,
        &["enter_container", "paused", "resume it first"],
    )?;
    let signal = Signal::TERM.as_raw().unsigned_abs();
    refused(
        sandbox.kill_container(&container, signal, false).await,
        ErrorKind::WrongState,
        &["resume it first"],
    )?;
    refused(
        sandbox.pause().await,
        ErrorKind::WrongState,
        &["it needs no pause"],
    )?;
    // Who and where it is can be told of a paused one too.
    assert!(sandbox.hypervisor_pid().await?.is_some());
    sandbox.agent_url().await?;
    assert_eq!(rig.read_shared("counter")?, before);

    let status = sandbox.resume().await?;
    assert_eq!(status.state, SandboxState::Running);
    assert_eq!(status.containers[0].state, ContainerState::Running);
    writes.go_on()?;
    assert_ne!(rig.read_shared("counter")?, before);
    assert_eq!(exec(&sandbox, &container, &["echo", "on"]).await?, "on\n");

    // Another runtime pauses; delete ends a paused one without force.
    let other = rig.another_runtime()?;
    other.pause_sandbox(sandbox.id()).await?;
    writes.stand_still()?;
    sandbox.delete(false).await?;
    rig.place.assert_clean()
}
