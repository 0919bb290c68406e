//! Limits and counters of containers, seen from the guest's own control groups.

use std::io::BufReader;

use anyhow::{Context, Result};
use serde_json::json;
use virtcontainers::types::{ContainerState, ExitStatus};
use virtcontainers::{ContainerIo, ErrorKind};

use crate::rig::{Rig, exec, line, refused, with_spec};

const MIB: u64 = 1 << 20;

/// A file of the container's own control group.
const LIMITS: &str = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_change_and_stay_and_counters_grow() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("limits").await?;
    let container = rig.id("limits")?;
    let limits = async || exec(&sandbox, &container, &["sh", "-c", LIMITS]).await;
    assert_eq!(limits().await?, "max\nmax 100000\nmax\n");

    let resources = json!({"memory": {"limit": 64 * MIB}, "pids": {"limit": 77}});
    sandbox
        .update_container(&container, serde_json::from_value(resources)?)
        .await?;
    let resources = json!({"cpu": {"quota": 50_000, "period": 100_000}});
    sandbox
        .update_container(&container, serde_json::from_value(resources)?)
        .await?;
    // What the second one did not name stayed.
    let wanted = format!("{}\n50000 100000\n77\n", 64 * MIB);
    assert_eq!(limits().await?, wanted);

    let first = sandbox.stats_container(&container).await?.cgroup;
    assert!(first.memory.usage.usage > 0, "{first:?}");
    assert_eq!(first.memory.usage.limit, 64 * MIB);
    assert_eq!((first.pids.current, first.pids.limit), (1, 77));
    let work = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done";
    exec(&sandbox, &container, &["sh", "-c", work]).await?;
    let second = sandbox.stats_container(&container).await?.cgroup;
    assert!(second.cpu.total > first.cpu.total, "{first:?} {second:?}");
    assert!(second.cpu.user > 0 && second.cpu.total >= second.cpu.user);

    let (before, containers) = sandbox.stats().await?;
    assert_eq!(before.vcpus, 1);
    assert!(before.memory > 32 * MIB, "{before:?}");
    assert!(before.cpu > 0, "{before:?}");
    assert_eq!(containers.len(), 1);
    assert_eq!(containers[0].0, container);
    assert!(containers[0].1.cgroup.cpu.total >= second.cpu.total);
    exec(&sandbox, &container, &["sh", "-c", work]).await?;
    let (after, _) = rig.runtime.stats_sandbox(sandbox.id()).await?;
    assert!(after.cpu > before.cpu, "{before:?} {after:?}");

    // What cannot be is refused, and the limits of before are there.
    let nonsense = json!({"memory": {"limit": 32 * MIB}, "cpu": {"quota": 1}});
    let error = sandbox
        .update_container(&container, serde_json::from_value(nonsense)?)
        .await
        .err()
        .context("a millisecond is the least")?;
    assert!(error.to_string().contains("limits"), "{error}");
    assert_eq!(limits().await?, wanted);

    // A new machine has them too.
    sandbox.stop(false).await?;
    let stopped = sandbox.update_container(&container, serde_json::from_value(json!({}))?);
    refused(stopped.await, ErrorKind::WrongState, &["stopped"])?;
    let stopped = sandbox.stats_container(&container).await;
    refused(stopped.map(drop), ErrorKind::WrongState, &["stopped"])?;
    sandbox.start().await?;
    assert_eq!(limits().await?, wanted);
    rig.finish(sandbox).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_runs_out_of_memory_is_told_of() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("oom").await?;
    let greedy = rig.id("greedy")?;
    // `tail` keeps what has no line end.
    let config = with_spec(
        rig.script(
            "greedy",
            "echo up; read go; tail /dev/zero; echo $?; sleep 100000",
        )?,
        |spec| {
            spec["linux"]["resources"]["memory"] = json!({"limit": 16 * MIB, "swap": 16 * MIB});
        },
    )?;
    sandbox
        .create_container(config, ContainerIo::kept()?)
        .await?;
    let mut streams = sandbox.io_stream(&greedy)?;
    sandbox.start_container(&greedy).await?;
    let mut output = BufReader::new(streams.stdout);
    assert_eq!(line(&mut output)?, "up\n");
    // Two listen, in different handles.
    let other = rig.runtime.fetch_sandbox(sandbox.id()).await?;
    let mut events = sandbox.oom_events().await?;
    let mut others = other.oom_events().await?;
    std::io::Write::write_all(&mut streams.stdin, b"go\n")?;
    assert_eq!(events.next().await.as_ref(), Some(&greedy));
    assert_eq!(others.next().await.as_ref(), Some(&greedy));
    assert_eq!(
        line(&mut output)?,
        "137\n",
        "only the greedy one was killed"
    );
    let status = sandbox.status_container(&greedy).await?;
    let state = status.context("it is there")?.state;
    assert_eq!(state, ContainerState::Running);

    // With the sandbox, events end.
    sandbox.stop(false).await?;
    assert_eq!(events.next().await, None);
    assert_eq!(sandbox.wait_process(&greedy, None).await?, ExitStatus(137));
    refused(
        sandbox.oom_events().await.map(drop),
        ErrorKind::WrongState,
        &["stopped"],
    )?;
    rig.finish(sandbox).await
}
