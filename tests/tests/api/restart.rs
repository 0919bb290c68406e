//! Starting a stopped sandbox: a new machine from what was stored.

use anyhow::Result;
use rustix::process::Signal;
use virtcontainers::types::{ContainerState, ExitStatus, SandboxState, SandboxStatus};
use virtcontainers::{ContainerIo, CreateOptions, ErrorKind};

use crate::rig::{Rig, Writes, exec, refused};

fn states(status: &SandboxStatus) -> Vec<(ContainerState, Option<ExitStatus>)> {
    let containers = status.containers.iter();
    containers.map(|one| (one.state, one.exit_status)).collect()
}

/// Says that it was started, and stays.
fn counted(name: &str) -> String {
    format!("echo started >> /shared/{name}; exec sleep 100000")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_sandbox_boots_again_with_all_its_containers() -> Result<()> {
    let rig = Rig::new()?;
    let (one, two) = (rig.id("one")?, rig.id("two")?);
    let writes = Writes::to(&rig.shared())?;
    let mut config = rig.sandbox(rig.script("one", &counted("one"))?)?;
    config.containers.push(rig.script("two", &counted("two"))?);
    let options = CreateOptions::default();
    let sandbox = rig.runtime.run_sandbox(config, options).await?;
    while rig.read_shared("two").is_err() {
        writes.go_on()?;
    }
    let kill = Signal::KILL.as_raw().unsigned_abs();
    sandbox.kill_container(&two, kill, false).await?;
    assert_eq!(sandbox.wait_process(&two, None).await?, ExitStatus(137));
    // One that was added later is of the sandbox too.
    sandbox
        .create_container(rig.script("three", "exit 3")?, ContainerIo::default())
        .await?;
    let first_machine = sandbox.hypervisor_pid().await?;

    for boot in 2..=3 {
        let status = sandbox.stop(false).await?;
        assert_eq!(status.state, SandboxState::Stopped);
        let stopped = states(&status);
        assert!(
            stopped
                .iter()
                .all(|(state, status)| *state == ContainerState::Stopped && status.is_some()),
            "{stopped:?}"
        );
        let status = match boot {
            2 => sandbox.start().await?,
            _ => rig.another_runtime()?.start_sandbox(sandbox.id()).await?,
        };
        assert_eq!(status.state, SandboxState::Running);
        assert_eq!(states(&status), [(ContainerState::Running, None); 3]);
        assert_ne!(sandbox.hypervisor_pid().await?, first_machine);
        assert_eq!(exec(&sandbox, &one, &["echo", "up"]).await?, "up\n");
        let three = rig.id("three")?;
        assert_eq!(sandbox.wait_process(&three, None).await?, ExitStatus(3));
        while rig.read_shared("two")?.lines().count() < boot {
            writes.go_on()?;
        }
    }

    // Stopped, it can do without its containers.
    sandbox.stop(true).await?;
    sandbox.delete_container(&two).await?;
    assert_eq!(sandbox.containers().await?.len(), 2);
    sandbox.delete(false).await?;
    rig.place.assert_clean()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_can_be_foreseen_to_fail_changes_nothing() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("unlucky").await?;
    sandbox.stop(false).await?;
    // Its root file system is gone meanwhile.
    std::fs::rename(rig.place.rootfs(), rig.place.path("elsewhere"))?;
    let status = sandbox.status().await?;
    refused(sandbox.start().await, ErrorKind::NotFound, &["rootfs"])?;
    assert_eq!(sandbox.status().await?.state, status.state);
    std::fs::rename(rig.place.path("elsewhere"), rig.place.rootfs())?;
    rig.finish(sandbox).await
}
