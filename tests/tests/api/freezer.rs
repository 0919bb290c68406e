//! Freezing one container of several.

use anyhow::{Context, Result};
use rustix::process::Signal;
use virtcontainers::types::{ContainerState, ExitStatus};
use virtcontainers::{ContainerIo, ErrorKind};

use crate::rig::{COUNT, Rig, Writes, exec, refused, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_container_stands_still_while_the_others_run() -> Result<()> {
    let rig = Rig::new()?;
    let writes = Writes::to(&rig.shared())?;
    let sandbox = rig.run_sleeping("awake").await?;
    let (awake, frozen) = (rig.id("awake")?, rig.id("frozen")?);
    sandbox
        .create_container(rig.script("frozen", COUNT)?, ContainerIo::default())
        .await?;
    sandbox.start_container(&frozen).await?;
    writes.go_on()?;
    refused(
        sandbox.resume_container(&frozen).await,
        ErrorKind::WrongState,
        &["running", "it needs no resume"],
    )?;

    let status = sandbox.pause_container(&frozen).await?;
    assert_eq!(status.state, ContainerState::Paused);
    writes.stand_still()?;
    let before = rig.read_shared("counter")?;
    let known = sandbox
        .status_container(&frozen)
        .await?
        .context("it is there")?;
    assert_eq!(known.state, ContainerState::Paused);
    refused(
        sandbox.pause_container(&frozen).await,
        ErrorKind::WrongState,
        &["it needs no pause"],
    )?;
    let process = request(&frozen, &["true"], None);
    refused(
        sandbox.enter_container(process).await.map(drop),
        ErrorKind::WrongState,
        &["paused", "resume it first"],
    )?;
    let counters = sandbox.stats_container(&frozen).await?;
    assert!(counters.cgroup.pids.current >= 1, "{counters:?}");
    assert_eq!(exec(&sandbox, &awake, &["echo", "awake"]).await?, "awake\n");
    assert_eq!(rig.read_shared("counter")?, before);

    // Any process may thaw it.
    let other = rig.another_runtime()?;
    let status = other.resume_container(sandbox.id(), &frozen).await?;
    assert_eq!(status.state, ContainerState::Running);
    writes.go_on()?;

    // A frozen one can be killed, and its end is seen.
    sandbox.pause_container(&frozen).await?;
    writes.stand_still()?;
    let kill = Signal::KILL.as_raw().unsigned_abs();
    sandbox.kill_container(&frozen, kill, true).await?;
    assert_eq!(sandbox.wait_process(&frozen, None).await?, ExitStatus(137));
    sandbox.delete_container(&frozen).await?;

    // And stopped.
    sandbox
        .create_container(rig.script("frozen", COUNT)?, ContainerIo::default())
        .await?;
    sandbox.start_container(&frozen).await?;
    writes.go_on()?;
    sandbox.pause_container(&frozen).await?;
    let status = sandbox.stop_container(&frozen, false).await?;
    assert_eq!(status.exit_status, Some(ExitStatus(137)));
    rig.finish(sandbox).await
}
