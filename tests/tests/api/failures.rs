//! What dies or is damaged: seen at once, told, and cleaned up.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::timeout;
use virtcontainers::ErrorKind;
use virtcontainers::types::{ContainerState, ExitStatus, SandboxState};

use crate::rig::{Rig, refused, request};

/// The promise is a second; other machines may share the processors.
const PROMPT: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_dies_ends_every_wait_and_can_be_deleted() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("killed").await?;
    let (id, container) = (sandbox.id().clone(), rig.id("killed")?);
    let other = rig.another_runtime()?.fetch_sandbox(&id).await?;
    let process = other
        .enter_container(request(&container, &["sleep", "100000"], None))
        .await?;
    let mut events = other.oom_events().await?;
    let monitor = sandbox.hypervisor_pid().await?.context("it is a process")?;

    let waits = async {
        tokio::join!(
            sandbox.wait(),
            other.monitor(),
            other.wait_process(&container, None),
            process.wait(),
            events.next(),
        )
    };
    let killed = async {
        let pid = Pid::from_raw(i32::try_from(monitor.pid)?).context("no pid")?;
        let machine = pidfd_open(pid, PidfdFlags::empty())?;
        Ok::<_, anyhow::Error>(pidfd_send_signal(machine, Signal::KILL)?)
    };
    let (waited, killed) = timeout(PROMPT, async { tokio::join!(waits, killed) }).await?;
    killed?;
    let (lost, monitored, ended, exec, event) = waited;
    refused(lost, ErrorKind::Gone, &["lost", "signal 9"])?;
    let monitored = monitored?;
    assert_eq!(monitored.state, SandboxState::Failed);
    let why = monitored.failure.context("it says why")?;
    assert!(why.contains("qemu") && why.contains("signal 9"), "{why}");
    assert_eq!(ended?, ExitStatus::LOST);
    refused(exec, ErrorKind::Gone, &[])?;
    assert_eq!(event, None);

    let status = sandbox.status().await?;
    assert_eq!(status.state, SandboxState::Failed);
    assert_eq!(status.containers[0].state, ContainerState::Stopped);
    let start = sandbox.start().await;
    refused(start, ErrorKind::WrongState, &["delete it and create it"])?;
    let stats = sandbox.stats().await.map(drop);
    refused(stats, ErrorKind::WrongState, &["failed"])?;
    let kill = Signal::KILL.as_raw().unsigned_abs();
    sandbox.kill_container(&container, kill, true).await?;
    timeout(PROMPT, sandbox.stop(false)).await??;
    timeout(PROMPT, sandbox.stop_container(&container, false)).await??;
    timeout(PROMPT, sandbox.delete(false)).await??;
    rig.place.assert_clean()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_record_is_told_of_and_hides_nothing() -> Result<()> {
    let rig = Rig::new()?;
    let runtime = &rig.runtime;
    let sound = rig.run_sleeping("sound").await?;
    let broken = rig.run_sleeping("broken").await?;
    let (id, container) = (broken.id().clone(), rig.id("broken")?);
    let record = rig
        .place
        .root()
        .join("sandboxes")
        .join(&id)
        .join("record.json");
    let whole = std::fs::read(&record)?;
    std::fs::write(&record, &whole[..whole.len() / 2])?;

    let listed = runtime.list_sandboxes().await?;
    assert_eq!(listed.len(), 2);
    for one in listed {
        match one.id.as_ref() == Some(&id) {
            true => refused(one.status, ErrorKind::Corrupt, &[id.as_str()])?,
            false => assert_eq!(one.status?.state, SandboxState::Running),
        }
    }
    let corrupt = ErrorKind::Corrupt;
    refused(broken.status().await, corrupt, &[id.as_str()])?;
    refused(broken.stop(true).await, corrupt, &[])?;
    refused(broken.stats_container(&container).await, corrupt, &[])?;
    refused(broken.annotations().await, corrupt, &[])?;
    let listed = rig.place.vc(["list"]).finish()?;
    assert!(listed.text().contains(sound.id().as_str()), "{listed:?}");

    // Its machine still runs; the ledger tells what to clean up.
    runtime.delete_sandbox(&id, true).await?;
    refused(broken.status().await, ErrorKind::NotFound, &[])?;
    assert_eq!(sound.status().await?.state, SandboxState::Running);
    rig.finish(sound).await
}
