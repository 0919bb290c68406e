//! The library from inside one process: a sandbox supervised by a task, step by step.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, Result};
use virtcontainers::oci::{CommandLine, container_spec, exec_process};
use virtcontainers::types::{
    Attachment, ContainerConfig, ContainerId, ExitStatus, SandboxConfig, SandboxState,
};
use virtcontainers::{
    Config, ContainerIo, CreateOptions, ErrorKind, ExecRequest, Runtime, RuntimeOptions,
    Supervision, sandbox_config,
};
use virtcontainers_qemu::{QemuBackend, QemuConfig};
use virtcontainers_tests::Place;

fn runtime(place: &Place) -> Result<Runtime> {
    let options = RuntimeOptions {
        root: place.root().to_owned(),
        deadline_factor: 1.0,
        share: virtcontainers_share::DaemonConfig::default(),
        supervision: Supervision::Task,
    };
    Ok(Runtime::new(
        options,
        Arc::new(QemuBackend::new(QemuConfig::default())),
    )?)
}

fn config(place: &Place, name: &str, command: &[&str]) -> Result<SandboxConfig> {
    let command = CommandLine {
        args: command.iter().map(|word| (*word).to_owned()).collect(),
        ..CommandLine::default()
    };
    let container = ContainerConfig {
        id: ContainerId::new(place.id(name))?,
        rootfs: place.rootfs().into(),
        bundle: None,
        spec: container_spec(&command, &place.rootfs(), &[]),
    };
    Ok(sandbox_config(&Config::default(), container)?)
}

fn pipe() -> Result<(File, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((read.into(), write))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_step_by_step() -> Result<()> {
    let place = Place::new()?;
    let runtime = runtime(&place)?;
    let config = config(
        &place,
        "steps",
        &["sh", "-c", "read line; echo got $line; exit 5"],
    )?;
    let id = config.id.clone();
    let container = config.containers[0].id.clone();
    let (mut output, stdout) = pipe()?;
    let (stdin, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let io = ContainerIo {
        stdin: Some(stdin),
        stdout: Some(stdout),
        stderr: None,
    };
    let options = CreateOptions {
        io,
        attachment: Attachment::Attached,
        ..CreateOptions::default()
    };

    let sandbox = runtime.create_sandbox(config.clone(), options).await?;
    assert_eq!(sandbox.status().await?.state, SandboxState::Ready);
    let again = runtime
        .create_sandbox(config, CreateOptions::default())
        .await;
    assert_eq!(
        again.err().map(|error| error.kind()),
        Some(ErrorKind::AlreadyExists)
    );

    sandbox.start().await?;
    assert_eq!(sandbox.status().await?.state, SandboxState::Running);
    let refused = sandbox.start().await.err().context("a second start")?;
    assert_eq!(refused.kind(), ErrorKind::WrongState);
    assert!(refused.to_string().contains("running"), "{refused}");

    let (mut exec_output, exec_stdout) = pipe()?;
    let command = CommandLine {
        args: vec!["hostname".to_owned()],
        ..CommandLine::default()
    };
    let exec = ExecRequest {
        container,
        process: exec_process(&command),
        io: ContainerIo {
            stdout: Some(exec_stdout),
            ..ContainerIo::default()
        },
    };
    assert_eq!(sandbox.exec(exec).await?.wait().await?, ExitStatus(0));
    let mut text = String::new();
    exec_output.read_to_string(&mut text)?;
    assert_eq!(text.trim(), id.as_str());

    File::from(input).write_all(b"it\n")?;
    assert_eq!(sandbox.wait().await?, ExitStatus(5));
    let mut text = String::new();
    output.read_to_string(&mut text)?;
    assert_eq!(text, "got it\n");
    let status = sandbox.status().await?;
    assert_eq!(status.state, SandboxState::Stopped);
    assert_eq!(status.containers[0].exit_status, Some(ExitStatus(5)));
    sandbox.delete(false).await?;
    let gone = runtime
        .status_sandbox(&id)
        .await
        .err()
        .context("it is deleted")?;
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    place.assert_clean()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_ends_a_sandbox_and_delete_removes_it() -> Result<()> {
    let place = Place::new()?;
    let runtime = runtime(&place)?;
    let config = config(&place, "stop", &["sleep", "100000"])?;
    let id = config.id.clone();
    let sandbox = runtime
        .run_sandbox(config, CreateOptions::default())
        .await?;
    let refused = runtime
        .delete_sandbox(&id, false)
        .await
        .err()
        .context("it runs")?;
    assert_eq!(refused.kind(), ErrorKind::WrongState);
    sandbox.stop().await?;
    sandbox.stop().await?;
    assert_eq!(sandbox.status().await?.state, SandboxState::Stopped);
    assert_eq!(runtime.list_sandboxes().await?.len(), 1);
    runtime.delete_sandbox(&id, false).await?;
    assert!(runtime.list_sandboxes().await?.is_empty());
    place.assert_clean()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_is_dropped_leaves_nothing() -> Result<()> {
    let place = Place::new()?;
    let runtime = runtime(&place)?;
    let config = config(&place, "dropped", &["true"])?;
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
        _ = runtime.run_sandbox(config, options) => anyhow::bail!("it is too fast to be dropped"),
        _ = async { while phases.recv().await != Some(virtcontainers::Phase::Launch) {} } => {}
    }
    // Waits for the clean-up, or does it.
    match runtime.delete_sandbox(&id, true).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        deleted => deleted?,
    }
    place.assert_clean()
}
