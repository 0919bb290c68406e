//! Create, start, run, stop, delete, fetch, list and status of a sandbox.

use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context, Result};
use virtcontainers::types::{Attachment, ContainerState, ExitStatus, Lifetime, SandboxState};
use virtcontainers::{ContainerIo, CreateOptions, ErrorKind};

use crate::rig::{Rig, exec, pipe, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_step_by_step() -> Result<()> {
    let rig = Rig::new()?;
    let script = rig.script("steps", "read line; echo got $line; exit 5")?;
    let mut config = rig.sandbox(script)?;
    config.lifetime = Lifetime::FirstContainer;
    let id = config.id.clone();
    let container = config.containers[0].id.clone();
    let (mut output, stdout) = pipe()?;
    let (stdin, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let options = CreateOptions {
        io: ContainerIo::new(Some(stdin), Some(stdout), None),
        attachment: Attachment::Attached,
        ..CreateOptions::default()
    };

    let sandbox = rig.runtime.create_sandbox(config.clone(), options).await?;
    let status = sandbox.status().await?;
    assert_eq!(status.state, SandboxState::Ready);
    assert_eq!(status.hypervisor, "qemu");
    assert_eq!(status.containers[0].state, ContainerState::Created);
    let create = |options| rig.runtime.create_sandbox(config.clone(), options);
    refused(
        create(CreateOptions::default()).await,
        ErrorKind::AlreadyExists,
        &[id.as_str()],
    )?;
    let run = rig
        .runtime
        .run_sandbox(config.clone(), CreateOptions::default());
    refused(run.await, ErrorKind::AlreadyExists, &[id.as_str()])?;
    refused(
        sandbox.pause().await,
        ErrorKind::WrongState,
        &["pause_sandbox", "ready", "start it first"],
    )?;

    let status = sandbox.start().await?;
    assert_eq!(status.state, SandboxState::Running);
    assert_eq!(status.containers[0].state, ContainerState::Running);
    refused(sandbox.start().await, ErrorKind::WrongState, &["running"])?;
    let hostname = exec(&sandbox, &container, &["hostname"]).await?;
    assert_eq!(hostname.trim(), id.as_str());

    File::from(input).write_all(b"it\n")?;
    assert_eq!(sandbox.wait().await?, ExitStatus(5));
    let mut text = String::new();
    output.read_to_string(&mut text)?;
    assert_eq!(text, "got it\n");
    let status = sandbox.status().await?;
    assert_eq!(status.state, SandboxState::Stopped);
    assert_eq!(status.containers[0].exit_status, Some(ExitStatus(5)));
    sandbox.delete(false).await?;
    let gone = rig.runtime.status_sandbox(&id).await;
    refused(gone, ErrorKind::NotFound, &[id.as_str()])?;
    let gone = rig.runtime.delete_sandbox(&id, false).await;
    refused(gone, ErrorKind::NotFound, &[id.as_str()])?;
    rig.place.assert_clean()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_ends_a_sandbox_and_delete_removes_it() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("stop").await?;
    let (runtime, id) = (&rig.runtime, sandbox.id().clone());
    let deleted = runtime.delete_sandbox(&id, false).await;
    refused(
        deleted,
        ErrorKind::WrongState,
        &["running", "stop it first, or delete it with force"],
    )?;

    let listed = runtime.list_sandboxes().await?;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id.as_ref(), Some(&id));
    let known = listed[0].status.as_ref().ok().context("it is sound")?;
    assert_eq!(known.state, SandboxState::Running);
    let fetched = runtime.fetch_sandbox(&id).await?;
    assert_eq!(fetched.status().await?, *known);
    assert_eq!(fetched.containers().await?, known.containers);

    let status = sandbox.stop(false).await?;
    assert_eq!(status.state, SandboxState::Stopped);
    assert_eq!(status.containers[0].exit_status, Some(ExitStatus(137)));
    // Again, from elsewhere, and with force: it stays as it is.
    assert_eq!(fetched.stop(false).await?, status);
    assert_eq!(runtime.stop_sandbox(&id, true).await?, status);
    assert_eq!(sandbox.wait().await?, ExitStatus(137));
    assert_eq!(runtime.list_sandboxes().await?.len(), 1);
    runtime.delete_sandbox(&id, false).await?;
    assert!(runtime.list_sandboxes().await?.is_empty());
    rig.place.assert_clean()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_stop_does_not_ask_the_guest() -> Result<()> {
    let rig = Rig::new()?;
    let config = rig.sandbox(rig.container("forced", &["sleep", "100000"])?)?;
    let runtime = &rig.runtime;
    let sandbox = runtime
        .create_sandbox(config, CreateOptions::default())
        .await?;
    let status = sandbox.stop(true).await?;
    assert_eq!(status.state, SandboxState::Stopped);
    // Nobody saw its end.
    assert_eq!(status.containers[0].exit_status, Some(ExitStatus::LOST));
    rig.finish(sandbox).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_is_dropped_leaves_nothing() -> Result<()> {
    let rig = Rig::new()?;
    let config = rig.sandbox(rig.container("dropped", &["true"])?)?;
    let id = config.id.clone();
    let (told, mut phases) = tokio::sync::mpsc::unbounded_channel();
    let progress = virtcontainers::Progress::new(move |phase, _| {
        told.send(phase).unwrap_or_default();
    });
    let options = CreateOptions {
        progress,
        ..CreateOptions::default()
    };
    tokio::select! {
        _ = rig.runtime.run_sandbox(config, options) => {
            anyhow::bail!("it is too fast to be dropped")
        }
        _ = async { while phases.recv().await != Some(virtcontainers::Phase::Launch) {} } => {}
    }
    // Waits for the clean-up, or does it.
    match rig.runtime.delete_sandbox(&id, true).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        deleted => deleted?,
    }
    rig.place.assert_clean()
}
