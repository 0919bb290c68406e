//! Counters of a container of the model: enough that each asked-for number moves or is a limit.

use virtcontainers_agent_proto::agent::{
    CgroupStats, CpuStats, CpuUsage, MemoryData, MemoryStats, PidsStats, StatsContainerResponse,
};

use super::guest::Container;

/// Processor time that a container seems to use between two questions, in nanoseconds.
const STEP: u64 = 1_000_000;
/// Memory that each process seems to have, in bytes.
const PROCESS_SIZE: u64 = 1 << 20;

pub(super) fn read(container: &mut Container) -> StatsContainerResponse {
    container.stats_asked += 1;
    let current = container.alive().count() as u64;
    let limits = &container.resources;
    let usage = MemoryData {
        usage: current * PROCESS_SIZE,
        max_usage: current * PROCESS_SIZE,
        // As on the wire: no limit is the largest number.
        limit: limits
            .Memory
            .as_ref()
            .map_or(u64::MAX, |memory| match memory.Limit {
                0 => u64::MAX,
                limit => u64::try_from(limit).unwrap_or(u64::MAX),
            }),
        ..Default::default()
    };
    let pids = PidsStats {
        current,
        // Here no limit is 0.
        limit: limits
            .Pids
            .as_ref()
            .map_or(0, |pids| pids.Limit.try_into().unwrap_or(0)),
        ..Default::default()
    };
    let cpu = CpuUsage {
        total_usage: container.stats_asked * STEP,
        ..Default::default()
    };
    let memory = MemoryStats {
        usage: Some(usage).into(),
        ..Default::default()
    };
    let cpu = CpuStats {
        cpu_usage: Some(cpu).into(),
        ..Default::default()
    };
    let cgroup = CgroupStats {
        cpu_stats: Some(cpu).into(),
        memory_stats: Some(memory).into(),
        pids_stats: Some(pids).into(),
        ..Default::default()
    };
    StatsContainerResponse {
        cgroup_stats: Some(cgroup).into(),
        ..Default::default()
    }
}
