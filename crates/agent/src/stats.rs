//! Counters of a container, from the words of the protocol to the library's own.

use std::collections::BTreeMap;

use virtcontainers_agent_proto::agent as wire;
use virtcontainers_types::ContainerStats;
use virtcontainers_types::stats::{
    BlkioEntry, BlkioStats, CgroupStats, CpuStats, HugetlbStats, InterfaceStats, MemoryCounter,
    MemoryStats, PidsStats, ThrottlingStats,
};

use crate::details::word;

/// The most entries kept of any list or table of a guest.
const MAX_ENTRIES: usize = 1024;

/// Reads an answer. What a guest does not count is zero or empty; its lists are bounded and its
/// names printable. That its numbers are true is not known: they are for people and for limits of
/// their own container, not for accounts between several.
pub fn container(reply: wire::StatsContainerResponse) -> ContainerStats {
    let cgroup = reply.cgroup_stats.into_option().unwrap_or_default();
    ContainerStats {
        cgroup: CgroupStats {
            cpu: cpu(cgroup.cpu_stats.into_option().unwrap_or_default()),
            memory: memory(cgroup.memory_stats.into_option().unwrap_or_default()),
            pids: cgroup
                .pids_stats
                .into_option()
                .map_or_else(PidsStats::default, |pids| PidsStats {
                    current: pids.current,
                    limit: pids.limit,
                }),
            blkio: blkio(cgroup.blkio_stats.into_option().unwrap_or_default()),
            hugetlb: table(cgroup.hugetlb_stats, |pages| HugetlbStats {
                usage: pages.usage,
                max: pages.max_usage,
                failcnt: pages.failcnt,
            }),
        },
        network: list(reply.network_stats, interface),
    }
}

fn list<T, U>(wire: Vec<T>, convert: impl FnMut(T) -> U) -> Vec<U> {
    wire.into_iter().take(MAX_ENTRIES).map(convert).collect()
}

fn table<T, U>(wire: BTreeMap<String, T>, mut convert: impl FnMut(T) -> U) -> BTreeMap<String, U> {
    let kept = wire.into_iter().take(MAX_ENTRIES);
    kept.map(|(key, value)| (word(key), convert(value)))
        .collect()
}

fn cpu(wire: wire::CpuStats) -> CpuStats {
    let usage = wire.cpu_usage.into_option().unwrap_or_default();
    let throttling = wire.throttling_data.into_option().unwrap_or_default();
    CpuStats {
        total: usage.total_usage,
        per_cpu: list(usage.percpu_usage, |time| time),
        kernel: usage.usage_in_kernelmode,
        user: usage.usage_in_usermode,
        throttling: ThrottlingStats {
            periods: throttling.periods,
            throttled_periods: throttling.throttled_periods,
            throttled_time: throttling.throttled_time,
        },
    }
}

fn memory(wire: wire::MemoryStats) -> MemoryStats {
    let counter = |data: Option<wire::MemoryData>| {
        data.map_or_else(MemoryCounter::default, |data| MemoryCounter {
            usage: data.usage,
            max: data.max_usage,
            failcnt: data.failcnt,
            limit: data.limit,
        })
    };
    MemoryStats {
        cache: wire.cache,
        usage: counter(wire.usage.into_option()),
        swap: counter(wire.swap_usage.into_option()),
        kernel: counter(wire.kernel_usage.into_option()),
        // The protocol has no field for it.
        kernel_tcp: MemoryCounter::default(),
        use_hierarchy: wire.use_hierarchy,
        raw: table(wire.stats, |value| value),
    }
}

fn blkio(wire: wire::BlkioStats) -> BlkioStats {
    let entries = |entries: Vec<wire::BlkioStatsEntry>| {
        list(entries, |entry| BlkioEntry {
            major: entry.major,
            minor: entry.minor,
            op: word(entry.op),
            value: entry.value,
        })
    };
    BlkioStats {
        service_bytes: entries(wire.io_service_bytes_recursive),
        serviced: entries(wire.io_serviced_recursive),
        queued: entries(wire.io_queued_recursive),
        service_time: entries(wire.io_service_time_recursive),
        wait_time: entries(wire.io_wait_time_recursive),
        merged: entries(wire.io_merged_recursive),
        time: entries(wire.io_time_recursive),
        sectors: entries(wire.sectors_recursive),
    }
}

fn interface(wire: wire::NetworkStats) -> InterfaceStats {
    InterfaceStats {
        name: word(wire.name),
        rx_bytes: wire.rx_bytes,
        rx_packets: wire.rx_packets,
        rx_errors: wire.rx_errors,
        rx_dropped: wire.rx_dropped,
        tx_bytes: wire.tx_bytes,
        tx_packets: wire.tx_packets,
        tx_errors: wire.tx_errors,
        tx_dropped: wire.tx_dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_is_all_zero() {
        let stats = container(wire::StatsContainerResponse::new());
        assert_eq!(stats, ContainerStats::default());
    }

    /// Numbers that all differ, so that none can be mistaken for another.
    fn data(first: u64) -> Option<wire::MemoryData> {
        Some(wire::MemoryData {
            usage: first,
            max_usage: first + 1,
            failcnt: first + 2,
            limit: first + 3,
            ..Default::default()
        })
    }

    fn entry(value: u64) -> Vec<wire::BlkioStatsEntry> {
        vec![wire::BlkioStatsEntry {
            major: 8,
            minor: 1,
            op: "read".to_owned(),
            value,
            ..Default::default()
        }]
    }

    #[test]
    fn each_number_finds_its_place() {
        let cgroup = wire::CgroupStats {
            cpu_stats: Some(wire::CpuStats {
                cpu_usage: Some(wire::CpuUsage {
                    total_usage: 1,
                    percpu_usage: vec![2, 3],
                    usage_in_kernelmode: 4,
                    usage_in_usermode: 5,
                    ..Default::default()
                })
                .into(),
                throttling_data: Some(wire::ThrottlingData {
                    periods: 6,
                    throttled_periods: 7,
                    throttled_time: 8,
                    ..Default::default()
                })
                .into(),
                ..Default::default()
            })
            .into(),
            memory_stats: Some(wire::MemoryStats {
                cache: 9,
                usage: data(10).into(),
                swap_usage: data(20).into(),
                kernel_usage: data(30).into(),
                use_hierarchy: true,
                stats: BTreeMap::from([("anon".to_owned(), 40)]),
                ..Default::default()
            })
            .into(),
            pids_stats: Some(wire::PidsStats {
                current: 50,
                limit: 51,
                ..Default::default()
            })
            .into(),
            blkio_stats: Some(wire::BlkioStats {
                io_service_bytes_recursive: entry(60),
                io_serviced_recursive: entry(61),
                io_queued_recursive: entry(62),
                io_service_time_recursive: entry(63),
                io_wait_time_recursive: entry(64),
                io_merged_recursive: entry(65),
                io_time_recursive: entry(66),
                sectors_recursive: entry(67),
                ..Default::default()
            })
            .into(),
            hugetlb_stats: BTreeMap::from([(
                "2MB".to_owned(),
                wire::HugetlbStats {
                    usage: 70,
                    max_usage: 71,
                    failcnt: 72,
                    ..Default::default()
                },
            )]),
            ..Default::default()
        };
        let link = wire::NetworkStats {
            name: "eth0".to_owned(),
            rx_bytes: 80,
            rx_packets: 81,
            rx_errors: 82,
            rx_dropped: 83,
            tx_bytes: 84,
            tx_packets: 85,
            tx_errors: 86,
            tx_dropped: 87,
            ..Default::default()
        };
        let stats = container(wire::StatsContainerResponse {
            cgroup_stats: Some(cgroup).into(),
            network_stats: vec![link],
            ..Default::default()
        });
        let blkio =
            |value| serde_json::json!([{"major": 8, "minor": 1, "op": "read", "value": value}]);
        let counter = |n: u64| serde_json::json!({"usage": n, "max": n + 1, "failcnt": n + 2, "limit": n + 3});
        let zero = serde_json::json!({"usage": 0, "max": 0, "failcnt": 0, "limit": 0});
        let expected = serde_json::json!({
            "cgroup": {
                "cpu": {"total": 1, "per_cpu": [2, 3], "kernel": 4, "user": 5, "throttling":
                    {"periods": 6, "throttled_periods": 7, "throttled_time": 8}},
                "memory": {"cache": 9, "usage": counter(10), "swap": counter(20),
                    "kernel": counter(30), "kernel_tcp": zero, "use_hierarchy": true,
                    "raw": {"anon": 40}},
                "pids": {"current": 50, "limit": 51},
                "blkio": {"service_bytes": blkio(60), "serviced": blkio(61),
                    "queued": blkio(62), "service_time": blkio(63), "wait_time": blkio(64),
                    "merged": blkio(65), "time": blkio(66), "sectors": blkio(67)},
                "hugetlb": {"2MB": {"usage": 70, "max": 71, "failcnt": 72}},
            },
            "network": [{"name": "eth0", "rx_bytes": 80, "rx_packets": 81, "rx_errors": 82,
                "rx_dropped": 83, "tx_bytes": 84, "tx_packets": 85, "tx_errors": 86,
                "tx_dropped": 87}],
        });
        assert_eq!(serde_json::to_value(&stats).unwrap(), expected);
    }

    #[test]
    fn what_a_guest_says_is_bounded_and_printable() {
        let memory = wire::MemoryStats {
            stats: (0..2 * MAX_ENTRIES as u64)
                .map(|n| (format!("{n}\u{1b}[2J{}", "x".repeat(9999)), n))
                .collect(),
            ..Default::default()
        };
        let stats = container(wire::StatsContainerResponse {
            cgroup_stats: Some(wire::CgroupStats {
                memory_stats: Some(memory).into(),
                ..Default::default()
            })
            .into(),
            network_stats: vec![wire::NetworkStats::new(); 2 * MAX_ENTRIES],
            ..Default::default()
        });
        assert_eq!(stats.network.len(), MAX_ENTRIES);
        let names: Vec<_> = stats.cgroup.memory.raw.keys().collect();
        assert!(names.len() <= MAX_ENTRIES);
        let fits = |name: &&String| name.len() <= 256 && !name.contains('\u{1b}');
        assert!(names.iter().all(fits));
    }
}
