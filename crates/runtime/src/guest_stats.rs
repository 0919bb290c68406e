//! Counters of a container, from the protocol's words to ours.

use virtcontainers_agent_proto::agent as wire;
use virtcontainers_types::{
    BlkioEntry, BlkioStats, CgroupStats, ContainerStats, CpuStats, HugetlbStats, InterfaceStats,
    MemoryCounter, MemoryStats, PidsStats, ThrottlingStats,
};

/// The counters as a guest told them; what it left out is zero.
pub(crate) fn container_stats(told: wire::StatsContainerResponse) -> ContainerStats {
    ContainerStats {
        cgroup: told
            .cgroup_stats
            .into_option()
            .map(cgroup)
            .unwrap_or_default(),
        network: told.network_stats.into_iter().map(interface).collect(),
    }
}

fn cgroup(told: wire::CgroupStats) -> CgroupStats {
    let huge = |told: wire::HugetlbStats| HugetlbStats {
        usage: told.usage,
        max: told.max_usage,
        failcnt: told.failcnt,
    };
    CgroupStats {
        cpu: told.cpu_stats.into_option().map(cpu).unwrap_or_default(),
        memory: told
            .memory_stats
            .into_option()
            .map(memory)
            .unwrap_or_default(),
        pids: told
            .pids_stats
            .into_option()
            .map(|told| PidsStats {
                current: told.current,
                limit: told.limit,
            })
            .unwrap_or_default(),
        blkio: told
            .blkio_stats
            .into_option()
            .map(blkio)
            .unwrap_or_default(),
        hugetlb: told
            .hugetlb_stats
            .into_iter()
            .map(|(size, told)| (size, huge(told)))
            .collect(),
    }
}

fn cpu(told: wire::CpuStats) -> CpuStats {
    let usage = told.cpu_usage.into_option().unwrap_or_default();
    let throttling = told.throttling_data.into_option().unwrap_or_default();
    CpuStats {
        total: usage.total_usage,
        per_cpu: usage.percpu_usage,
        kernel: usage.usage_in_kernelmode,
        user: usage.usage_in_usermode,
        throttling: ThrottlingStats {
            periods: throttling.periods,
            throttled_periods: throttling.throttled_periods,
            throttled_time: throttling.throttled_time,
        },
    }
}

fn memory(told: wire::MemoryStats) -> MemoryStats {
    let counter = |told: Option<wire::MemoryData>| {
        let told = told.unwrap_or_default();
        MemoryCounter {
            usage: told.usage,
            max: told.max_usage,
            failcnt: told.failcnt,
            limit: told.limit,
        }
    };
    MemoryStats {
        cache: told.cache,
        usage: counter(told.usage.into_option()),
        swap: counter(told.swap_usage.into_option()),
        kernel: counter(told.kernel_usage.into_option()),
        // The protocol does not carry it.
        kernel_tcp: MemoryCounter::default(),
        use_hierarchy: told.use_hierarchy,
        raw: told.stats.into_iter().collect(),
    }
}

fn blkio(told: wire::BlkioStats) -> BlkioStats {
    let entries = |told: Vec<wire::BlkioStatsEntry>| {
        let entry = |told: wire::BlkioStatsEntry| BlkioEntry {
            major: told.major,
            minor: told.minor,
            op: told.op,
            value: told.value,
        };
        told.into_iter().map(entry).collect()
    };
    BlkioStats {
        service_bytes: entries(told.io_service_bytes_recursive),
        serviced: entries(told.io_serviced_recursive),
        queued: entries(told.io_queued_recursive),
        service_time: entries(told.io_service_time_recursive),
        wait_time: entries(told.io_wait_time_recursive),
        merged: entries(told.io_merged_recursive),
        time: entries(told.io_time_recursive),
        sectors: entries(told.sectors_recursive),
    }
}

fn interface(told: wire::NetworkStats) -> InterfaceStats {
    InterfaceStats {
        name: told.name,
        rx_bytes: told.rx_bytes,
        rx_packets: told.rx_packets,
        rx_errors: told.rx_errors,
        rx_dropped: told.rx_dropped,
        tx_bytes: told.tx_bytes,
        tx_packets: told.tx_packets,
        tx_errors: told.tx_errors,
        tx_dropped: told.tx_dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives_and_what_is_not_is_zero() {
        let told = wire::StatsContainerResponse {
            cgroup_stats: Some(wire::CgroupStats {
                cpu_stats: Some(wire::CpuStats {
                    cpu_usage: Some(wire::CpuUsage {
                        total_usage: 7,
                        usage_in_kernelmode: 3,
                        usage_in_usermode: 4,
                        ..wire::CpuUsage::default()
                    })
                    .into(),
                    ..wire::CpuStats::default()
                })
                .into(),
                memory_stats: Some(wire::MemoryStats {
                    cache: 5,
                    usage: Some(wire::MemoryData {
                        usage: 11,
                        max_usage: 12,
                        failcnt: 13,
                        limit: 14,
                        ..wire::MemoryData::default()
                    })
                    .into(),
                    ..wire::MemoryStats::default()
                })
                .into(),
                blkio_stats: Some(wire::BlkioStats {
                    io_wait_time_recursive: vec![wire::BlkioStatsEntry {
                        major: 8,
                        op: "read".to_owned(),
                        value: 9,
                        ..wire::BlkioStatsEntry::default()
                    }],
                    ..wire::BlkioStats::default()
                })
                .into(),
                ..wire::CgroupStats::default()
            })
            .into(),
            network_stats: vec![wire::NetworkStats {
                name: "eth0".to_owned(),
                tx_dropped: 15,
                ..wire::NetworkStats::default()
            }],
            ..wire::StatsContainerResponse::default()
        };
        let stats = container_stats(told);
        let cpu = stats.cgroup.cpu;
        assert_eq!((cpu.total, cpu.kernel, cpu.user), (7, 3, 4));
        let memory = stats.cgroup.memory;
        let usage = MemoryCounter {
            usage: 11,
            max: 12,
            failcnt: 13,
            limit: 14,
        };
        assert_eq!((memory.cache, memory.usage), (5, usage));
        assert_eq!(memory.swap, MemoryCounter::default());
        assert_eq!(stats.cgroup.blkio.wait_time[0].value, 9);
        assert_eq!(stats.cgroup.blkio.service_bytes, []);
        assert_eq!(stats.network[0].tx_dropped, 15);
        assert_eq!(
            container_stats(wire::StatsContainerResponse::default()),
            ContainerStats::default()
        );
    }
}
