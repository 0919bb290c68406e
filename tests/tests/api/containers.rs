//! Containers of one sandbox: they come, run, end and go while it stays.

use std::io::{BufReader, Read as _, Write as _};

use anyhow::{Context, Result};
use rustix::process::Signal;
use virtcontainers::types::{ContainerState, ExitStatus, SandboxState};
use virtcontainers::{ContainerIo, ErrorKind};

use crate::rig::{Rig, exec, line, refused};

fn number(signal: Signal) -> u32 {
    signal.as_raw().unsigned_abs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_container_has_its_own_life_and_streams() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("first").await?;
    let (first, second) = (rig.id("first")?, rig.id("second")?);
    let script = "echo up; read line; echo got $line; echo $line > /shared/line; echo no >&2; \
                  exit 3";
    let config = rig.script("second", script)?;

    let status = sandbox
        .create_container(config.clone(), ContainerIo::kept()?)
        .await?;
    assert_eq!(status.state, ContainerState::Created);
    assert_eq!(sandbox.containers().await?.len(), 2);
    let again = sandbox.create_container(config.clone(), ContainerIo::default());
    refused(
        again.await,
        ErrorKind::AlreadyExists,
        &["create_container", "use another id"],
    )?;
    let paused = sandbox.pause_container(&second).await;
    refused(
        paused,
        ErrorKind::WrongState,
        &["created", "start it first"],
    )?;

    let mut streams = sandbox.io_stream(&second)?;
    refused(sandbox.io_stream(&second), ErrorKind::NotFound, &["once"])?;
    refused(sandbox.io_stream(&first), ErrorKind::NotFound, &[])?;
    let status = sandbox.start_container(&second).await?;
    assert_eq!(status.state, ContainerState::Running);
    refused(
        sandbox.start_container(&second).await,
        ErrorKind::WrongState,
        &["running", "it needs no start"],
    )?;
    let mut output = BufReader::new(streams.stdout);
    assert_eq!(line(&mut output)?, "up\n");
    refused(
        sandbox.delete_container(&second).await,
        ErrorKind::WrongState,
        &["running", "stop it first"],
    )?;

    streams.stdin.write_all(b"it\n")?;
    assert_eq!(sandbox.wait_process(&second, None).await?, ExitStatus(3));
    assert_eq!(line(&mut output)?, "got it\n");
    assert_eq!(line(&mut output)?, "", "the stream has ended");
    let mut errors = String::new();
    streams.stderr.read_to_string(&mut errors)?;
    assert_eq!(errors, "no\n");
    assert_eq!(rig.read_shared("line")?, "it\n");

    // Its end was seen, and the sandbox and the first container did not mind.
    let status = sandbox.status().await?;
    assert_eq!(status.state, SandboxState::Running);
    let state = |place: usize| status.containers[place].state;
    assert_eq!(
        (state(0), state(1)),
        (ContainerState::Running, ContainerState::Stopped)
    );
    assert_eq!(status.containers[1].exit_status, Some(ExitStatus(3)));
    assert_eq!(sandbox.wait_process(&second, None).await?, ExitStatus(3));
    refused(
        sandbox.start_container(&second).await,
        ErrorKind::WrongState,
        &["it starts again only with its sandbox"],
    )?;
    let signal = number(Signal::TERM);
    refused(
        sandbox.kill_container(&second, signal, false).await,
        ErrorKind::WrongState,
        &["it has ended"],
    )?;
    // What is gone needs no SIGKILL.
    let signal = number(Signal::KILL);
    sandbox.kill_container(&second, signal, true).await?;

    sandbox.delete_container(&second).await?;
    assert_eq!(sandbox.status_container(&second).await?, None);
    for gone in [
        sandbox.delete_container(&second).await,
        sandbox.stop_container(&second, false).await.map(drop),
        sandbox.start_container(&second).await.map(drop),
        sandbox.wait_process(&second, None).await.map(drop),
    ] {
        refused(gone, ErrorKind::NotFound, &[second.as_str()])?;
    }

    // The same id again is another container.
    sandbox
        .create_container(rig.script("second", "exit 4")?, ContainerIo::default())
        .await?;
    sandbox.start_container(&second).await?;
    assert_eq!(sandbox.wait_process(&second, None).await?, ExitStatus(4));
    rig.finish(sandbox).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_are_killed_stopped_and_cleaned_up() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("one").await?;
    let (one, two) = (rig.id("one")?, rig.id("two")?);
    let deaf = "trap 'echo term > /shared/signal' TERM; sleep 100000 & echo up; \
                while :; do wait; done";

    // A signal reaches the first process; SIGKILL ends all.
    sandbox
        .create_container(rig.script("two", deaf)?, ContainerIo::kept()?)
        .await?;
    let mut output = BufReader::new(sandbox.io_stream(&two)?.stdout);
    sandbox.start_container(&two).await?;
    assert_eq!(line(&mut output)?, "up\n");
    let writes = crate::rig::Writes::to(&rig.shared())?;
    sandbox
        .kill_container(&two, number(Signal::TERM), false)
        .await?;
    writes.go_on()?;
    assert_eq!(rig.read_shared("signal")?, "term\n");
    let all = sandbox.kill_container(&two, number(Signal::TERM), true);
    refused(all.await, ErrorKind::Unsupported, &["SIGKILL"])?;
    sandbox
        .kill_container(&two, number(Signal::KILL), true)
        .await?;
    assert_eq!(sandbox.wait_process(&two, None).await?, ExitStatus(137));
    assert_eq!(line(&mut output)?, "", "nobody holds the stream any more");
    sandbox.delete_container(&two).await?;

    // Stop ends one that runs, and one that was never started; again changes nothing.
    for force in [false, true] {
        sandbox
            .create_container(rig.script("two", deaf)?, ContainerIo::default())
            .await?;
        if !force {
            sandbox.start_container(&two).await?;
        }
        let status = sandbox.stop_container(&two, force).await?;
        assert_eq!(status.state, ContainerState::Stopped);
        assert_eq!(status.exit_status, Some(ExitStatus(137)), "force: {force}");
        assert_eq!(sandbox.stop_container(&two, false).await?, status);
        sandbox.delete_container(&two).await?;
    }

    // The first container runs on without minding, and its exec'd processes too.
    assert_eq!(exec(&sandbox, &one, &["echo", "here"]).await?, "here\n");

    // Clean-up removes one that runs; with the last one the sandbox goes.
    sandbox
        .create_container(rig.script("two", deaf)?, ContainerIo::default())
        .await?;
    sandbox.start_container(&two).await?;
    sandbox.cleanup_container(&two, false).await?;
    assert_eq!(sandbox.status_container(&two).await?, None);
    sandbox.cleanup_container(&two, false).await?;
    assert_eq!(sandbox.status().await?.state, SandboxState::Running);
    sandbox.cleanup_container(&one, false).await?;
    let gone = rig.runtime.status_sandbox(sandbox.id()).await;
    refused(gone, ErrorKind::NotFound, &[])?;
    sandbox.cleanup_container(&one, true).await?;
    rig.place.assert_clean()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_cannot_be_leaves_the_sandbox_as_it_was() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("sound").await?;
    let before = sandbox.status().await?;
    let mounts = || -> Result<usize> {
        let root = rig.place.root().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        Ok(mounts.lines().filter(|line| line.contains(&root)).count())
    };
    let mounted = mounts()?;

    let mut nowhere = rig.script("nowhere", "true")?;
    nowhere.rootfs = rig.place.path("nosuch").into();
    let refused_early = sandbox.create_container(nowhere, ContainerIo::default());
    refused(refused_early.await, ErrorKind::NotFound, &["nosuch"])?;

    // The guest refuses what the host could not foresee.
    let odd = crate::rig::with_spec(rig.script("odd", "true")?, |spec| {
        spec["mounts"]
            .as_array_mut()
            .into_iter()
            .for_each(|mounts| {
                mounts.push(serde_json::json!({
                    "destination": "/odd", "type": "nosuchfs", "source": "odd",
                }));
            });
    })?;
    let error = sandbox
        .create_container(odd, ContainerIo::default())
        .await
        .err()
        .context("the guest has no such file system")?;
    assert!(error.to_string().contains("odd"), "{error}");
    assert_eq!(sandbox.status().await?.containers, before.containers);
    assert_eq!(mounts()?, mounted, "what was shared is taken back");

    // The id is free.
    let status = sandbox
        .create_container(rig.script("odd", "true")?, ContainerIo::default())
        .await?;
    assert_eq!(status.state, ContainerState::Created);
    rig.finish(sandbox).await
}
