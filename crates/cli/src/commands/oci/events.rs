//! `vc events`: counters of a container, and its memory running out, one JSON object a line.

use std::pin::pin;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};
use virtcontainers::types::{BlkioEntry, ContainerStats, MemoryCounter};

use super::found::Found;
use crate::args::Global;
use crate::args::oci::Events;
use crate::output;

pub(crate) async fn run(global: &Global, events: Events) -> anyhow::Result<ExitCode> {
    let found = Found::of(global, &events.id).await?;
    if found.status() == "stopped" {
        bail!("container {} is not running: it has no counters", events.id);
    }
    if events.stats {
        print_stats(&found).await?;
        return Ok(ExitCode::SUCCESS);
    }
    follow(&found, events.interval).await?;
    Ok(ExitCode::SUCCESS)
}

/// Until the container ends.
async fn follow(found: &Found, interval: std::time::Duration) -> anyhow::Result<()> {
    let sandbox = found.runtime.fetch_sandbox(found.sandbox_id()).await?;
    let mut out_of_memory = sandbox.oom_events().await?;
    let mut ended = pin!(found.runtime.wait_container(found.sandbox_id(), found.id()));
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = &mut ended => return Ok(()),
            container = out_of_memory.next() => match container {
                Some(container) if container == *found.id() => {
                    print(&json!({ "type": "oom", "id": found.id() }))?;
                }
                Some(_) => {}
                None => return Ok(()),
            },
            _ = ticks.tick() => print_stats(found).await?,
        }
    }
}

async fn print_stats(found: &Found) -> anyhow::Result<()> {
    let stats = found
        .runtime
        .stats_container(found.sandbox_id(), found.id())
        .await?;
    print(&json!({ "type": "stats", "id": found.id(), "data": data(&stats) }))
}

fn print(event: &Value) -> anyhow::Result<()> {
    output::print(&format!("{event}\n"))
}

/// The counters in runc's form.
fn data(stats: &ContainerStats) -> Value {
    let cgroup = &stats.cgroup;
    let blkio = &cgroup.blkio;
    let interfaces: Vec<Value> = stats
        .network
        .iter()
        .map(|one| {
            json!({
                "Name": one.name,
                "RxBytes": one.rx_bytes, "RxPackets": one.rx_packets,
                "RxErrors": one.rx_errors, "RxDropped": one.rx_dropped,
                "TxBytes": one.tx_bytes, "TxPackets": one.tx_packets,
                "TxErrors": one.tx_errors, "TxDropped": one.tx_dropped,
            })
        })
        .collect();
    json!({
        "cpu": {
            "usage": {
                "total": cgroup.cpu.total,
                "percpu": cgroup.cpu.per_cpu,
                "kernel": cgroup.cpu.kernel,
                "user": cgroup.cpu.user,
            },
            "throttling": {
                "periods": cgroup.cpu.throttling.periods,
                "throttledPeriods": cgroup.cpu.throttling.throttled_periods,
                "throttledTime": cgroup.cpu.throttling.throttled_time,
            },
        },
        "memory": {
            "cache": cgroup.memory.cache,
            "usage": memory(&cgroup.memory.usage),
            "swap": memory(&cgroup.memory.swap),
            "kernel": memory(&cgroup.memory.kernel),
            "kernelTCP": memory(&cgroup.memory.kernel_tcp),
            "raw": cgroup.memory.raw,
        },
        "pids": { "current": cgroup.pids.current, "limit": cgroup.pids.limit },
        "blkio": {
            "ioServiceBytesRecursive": entries(&blkio.service_bytes),
            "ioServicedRecursive": entries(&blkio.serviced),
            "ioQueueRecursive": entries(&blkio.queued),
            "ioServiceTimeRecursive": entries(&blkio.service_time),
            "ioWaitTimeRecursive": entries(&blkio.wait_time),
            "ioMergedRecursive": entries(&blkio.merged),
            "ioTimeRecursive": entries(&blkio.time),
            "sectorsRecursive": entries(&blkio.sectors),
        },
        "hugetlb": cgroup.hugetlb,
        "network_interfaces": interfaces,
    })
}

fn memory(counter: &MemoryCounter) -> Value {
    json!({
        "limit": counter.limit, "usage": counter.usage,
        "max": counter.max, "failcnt": counter.failcnt,
    })
}

fn entries(all: &[BlkioEntry]) -> Vec<Value> {
    let entry = |one: &BlkioEntry| json!({ "major": one.major, "minor": one.minor, "op": one.op, "value": one.value });
    all.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that `runc events --stats` writes, of which cgroup readers know.
    #[test]
    fn counters_have_the_names_of_runc() {
        let mut stats = ContainerStats::default();
        stats.cgroup.cpu.total = 7;
        stats.cgroup.memory.usage.limit = 8;
        stats.cgroup.pids.current = 9;
        stats.cgroup.blkio.service_bytes = vec![BlkioEntry {
            major: 8,
            minor: 0,
            op: "Read".to_owned(),
            value: 10,
        }];
        let data = data(&stats);
        assert_eq!(data["cpu"]["usage"]["total"], 7);
        assert_eq!(data["memory"]["usage"]["limit"], 8);
        assert_eq!(data["pids"]["current"], 9);
        let read = &data["blkio"]["ioServiceBytesRecursive"][0];
        assert_eq!(
            *read,
            json!({ "major": 8, "minor": 0, "op": "Read", "value": 10 })
        );
    }
}
