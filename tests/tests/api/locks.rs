//! Locks: who waits for whom, for how long, and what they are told.

use std::error::Error as _;
use std::time::Duration;

use anyhow::{Context, Result};
use virtcontainers::types::SandboxState;
use virtcontainers::{CreateOptions, ErrorKind, RuntimeError};
use virtcontainers_store::{BootId, FileStore, LeaseMode, Store as _};

use crate::rig::{Rig, exec, refused};

/// Those who gave up waiting may have the lock for an instant when it is free.
const PATIENCE: Duration = Duration::from_secs(10);

/// Fails unless an operation gave up waiting, and says that this process is at it, with what.
fn gave_up<T>(result: Result<T, RuntimeError>, with: &str) -> Result<()> {
    let error = result.err().context("the sandbox was not locked")?;
    anyhow::ensure!(error.kind() == ErrorKind::Timeout, "{error:?}");
    let cause = error.source().context("no cause")?.to_string();
    let pid = format!("pid {}", std::process::id());
    anyhow::ensure!(cause.contains(&pid) && cause.contains(with), "{cause}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_is_named_and_reads_go_on() -> Result<()> {
    let rig = Rig::new()?;
    let config = rig.sandbox(rig.container("locked", &["sleep", "100000"])?)?;
    let container = config.containers[0].id.clone();
    // Of two that create one id, one wins.
    let other = rig.another_runtime()?;
    let (first, second) = tokio::join!(
        rig.runtime
            .run_sandbox(config.clone(), CreateOptions::default()),
        other.run_sandbox(config, CreateOptions::default()),
    );
    let sandbox = match (first, second) {
        (Ok(sandbox), loser) | (loser, Ok(sandbox)) => {
            refused(loser.map(drop), ErrorKind::AlreadyExists, &[])?;
            sandbox
        }
        (Err(first), Err(second)) => anyhow::bail!("nobody won: {first}; {second}"),
    };
    let id = sandbox.id().clone();

    let store = FileStore::new(rig.place.root(), BootId::current()?);
    let hasty = rig.impatient_runtime()?;
    let held = store.open(&id, LeaseMode::Exclusive, "tinker", Duration::ZERO)?;
    gave_up(hasty.stop_sandbox(&id, false).await, "tinker")?;
    gave_up(hasty.pause_container(&id, &container).await, "tinker")?;
    gave_up(hasty.set_annotations(&id, [].into()).await, "tinker")?;
    gave_up(hasty.stats_container(&id, &container).await, "tinker")?;
    gave_up(hasty.fetch_sandbox(&id).await, "tinker")?;
    // Another process is told the same.
    let configuration = rig.place.path("configuration.toml");
    std::fs::write(&configuration, "[runtime]\ndeadline_factor = 0.05\n")?;
    let deletion = rig.place.vc(["delete", "--force", id.as_str()]);
    let deletion = deletion.env("VC_CONFIG", &configuration).finish()?;
    let deletion = deletion.expect(1)?;
    let pid = format!("pid {}", std::process::id());
    assert!(deletion.stderr.contains(&pid), "{}", deletion.stderr);
    // Reads wait for nobody, and neither does a signal.
    let status = hasty.status_sandbox(&id).await?;
    assert_eq!(status.state, SandboxState::Running);
    assert_eq!(hasty.list_sandboxes().await?.len(), 1);
    assert!(hasty.status_container(&id, &container).await?.is_some());
    hasty.annotations(&id).await?;
    hasty.kill_container(&id, &container, 0, false).await?;
    drop(held);

    // Readers share, writers wait.
    let held = store.open(&id, LeaseMode::Shared, "tinker", PATIENCE)?;
    hasty.stats_container(&id, &container).await?;
    hasty.fetch_sandbox(&id).await?;
    // One of those who share it is named.
    gave_up(hasty.stop_sandbox(&id, false).await, "pid")?;
    drop(held);

    // Whoever is patient gets it, and nobody holds it while a process is waited for.
    let patient = tokio::spawn({
        let waiting = rig.runtime.fetch_sandbox(&id).await?;
        let container = container.clone();
        async move { waiting.wait_process(&container, None).await }
    });
    assert_eq!(
        exec(&sandbox, &container, &["echo", "free"]).await?,
        "free\n"
    );
    sandbox.set_annotations([].into()).await?;
    sandbox.stop(false).await?;
    patient.await??;
    rig.finish(sandbox).await
}
