//! The library's own share of each operation: the runtime over the durable file store on a tmpfs,
//! with a machine that is a value and an agent in the same process. No network, no shared
//! directories, no control groups, as the original was measured.

pub(crate) mod memory;
mod rig;

use std::time::{Duration, Instant};

use anyhow::Result;
use virtcontainers_types::{ContainerId, SandboxId};

use crate::figure::{Row, Samples, Target, Unit};
use crate::setting::Setting;
use rig::Rig;

/// How many operations one sample is the mean of.
const BATCH: u32 = 20;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let batches = if setting.quick { 5 } else { 25 };
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut rows = executor.block_on(async {
        let mut rows = Vec::new();
        for (containers, most) in [(1, 0.4), (10, 2.0), (100, 20.0)] {
            let what = format!("create, start, stop, delete a sandbox of {containers}");
            rows.push(row(&what, cycles(containers, batches).await?, Some(most)));
        }
        for (containers, most) in [(1, 0.05), (10, 0.15)] {
            let what = format!("status of a sandbox of {containers}");
            rows.push(row(&what, status(containers, batches).await?, Some(most)));
            let what = format!("fetch a sandbox of {containers}");
            rows.push(row(&what, fetch(containers, batches).await?, Some(most)));
        }
        for (sandboxes, most) in [(100, 2.0), (1000, 20.0)] {
            let what = format!("list {sandboxes} sandboxes");
            rows.push(row(&what, list(sandboxes, batches).await?, Some(most)));
        }
        rows.push(row(
            "pause and resume a container",
            freeze(batches).await?,
            Some(0.15),
        ));
        rows.push(row(
            "add, start, stop, delete a container",
            add(batches).await?,
            Some(0.4),
        ));
        Ok::<_, anyhow::Error>(rows)
    })?;
    rows.extend(memory::measure()?);
    Ok(rows)
}

fn row(what: &str, times: Samples, most: Option<f64>) -> Row {
    let row = Row::new(what, Unit::Milliseconds, times);
    match most {
        Some(most) => row.target(Target::Value(most)),
        None => row,
    }
}

/// Means of batches of `work`, after one batch that is not counted.
async fn sample<F: Future<Output = Result<()>>>(
    batches: usize,
    batch: u32,
    mut work: impl FnMut(u32) -> F,
) -> Result<Samples> {
    let mut times: Vec<Duration> = Vec::with_capacity(batches);
    for number in 0..=batches {
        let clock = Instant::now();
        for turn in 0..batch {
            work(turn).await?;
        }
        if number > 0 {
            times.push(clock.elapsed() / batch);
        }
    }
    Samples::times(&times)
}

async fn cycles(containers: usize, batches: usize) -> Result<Samples> {
    let rig = Rig::new()?;
    let batch = if containers > 10 { 2 } else { BATCH };
    sample(batches, batch, |_| async {
        let sandbox = rig.create("cycle", containers).await?;
        sandbox.start().await?;
        sandbox.stop(false).await?;
        sandbox.delete(false).await?;
        Ok(())
    })
    .await
}

async fn status(containers: usize, batches: usize) -> Result<Samples> {
    let rig = Rig::new()?;
    let sandbox = rig.create("status", containers).await?;
    let samples = sample(batches, BATCH, |_| async {
        rig.runtime.status_sandbox(sandbox.id()).await?;
        Ok(())
    })
    .await?;
    sandbox.delete(true).await?;
    Ok(samples)
}

async fn fetch(containers: usize, batches: usize) -> Result<Samples> {
    let rig = Rig::new()?;
    let sandbox = rig.create("fetch", containers).await?;
    let samples = sample(batches, BATCH, |_| async {
        rig.runtime.fetch_sandbox(sandbox.id()).await?;
        Ok(())
    })
    .await?;
    sandbox.delete(true).await?;
    Ok(samples)
}

async fn list(sandboxes: usize, batches: usize) -> Result<Samples> {
    let rig = Rig::new()?;
    let mut held = Vec::with_capacity(sandboxes);
    for number in 0..sandboxes {
        held.push(rig.create(&format!("list-{number}"), 1).await?);
    }
    let samples = sample(batches, 1, |_| async {
        let listed = rig.runtime.list_sandboxes().await?;
        anyhow::ensure!(listed.len() == sandboxes, "{} are listed", listed.len());
        Ok(())
    })
    .await?;
    for sandbox in held {
        sandbox.delete(true).await?;
    }
    Ok(samples)
}

async fn freeze(batches: usize) -> Result<Samples> {
    let rig = Rig::new()?;
    let sandbox = rig.create("freeze", 1).await?;
    sandbox.start().await?;
    let id: SandboxId = sandbox.id().clone();
    let container = ContainerId::new(id.as_str())?;
    let samples = sample(batches, BATCH, |_| async {
        rig.runtime.pause_container(&id, &container).await?;
        rig.runtime.resume_container(&id, &container).await?;
        Ok(())
    })
    .await?;
    sandbox.delete(true).await?;
    Ok(samples)
}

async fn add(batches: usize) -> Result<Samples> {
    let rig = Rig::new()?;
    let sandbox = rig.create("add", 1).await?;
    sandbox.start().await?;
    let id: SandboxId = sandbox.id().clone();
    let samples = sample(batches, BATCH, |turn| {
        let container = ContainerId::new(format!("further-{turn}"));
        let (rig, id) = (&rig, &id);
        async move {
            let container = container?;
            let config = rig::container(&container);
            let runtime = &rig.runtime;
            runtime
                .create_container(id, config, virtcontainers::ContainerIo::default())
                .await?;
            runtime.start_container(id, &container).await?;
            runtime.stop_container(id, &container, false).await?;
            runtime.delete_container(id, &container).await?;
            Ok(())
        }
    })
    .await?;
    sandbox.delete(true).await?;
    Ok(samples)
}
