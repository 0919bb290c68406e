//! Counters of containers and sandboxes. What a kernel does not count is zero or empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counters of one container, read in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStats {
    /// Its control group.
    pub cgroup: CgroupStats,
    /// Its network interfaces.
    pub network: Vec<InterfaceStats>,
}

/// Counters of one control group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupStats {
    /// Processors.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block devices.
    pub blkio: BlkioStats,
    /// Huge pages by page size, such as `2MB`.
    pub hugetlb: BTreeMap<String, HugetlbStats>,
}

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// All of it.
    pub total: u64,
    /// By CPU; empty with control groups of version 2.
    pub per_cpu: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
    /// How often the quota was hit.
    pub throttling: ThrottlingStats,
}

/// How often a processor quota was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottlingStats {
    /// Periods that passed.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Time spent waiting for the next one, in nanoseconds.
    pub throttled_time: u64,
}

/// Memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Page cache, in bytes.
    pub cache: u64,
    /// Memory of programs and page cache.
    pub usage: MemoryCounter,
    /// Swap; with control groups of version 1, memory and swap together.
    pub swap: MemoryCounter,
    /// The kernel's memory.
    pub kernel: MemoryCounter,
    /// The kernel's buffers of TCP.
    pub kernel_tcp: MemoryCounter,
    /// Children are counted with their parent (control groups of version 1).
    pub use_hierarchy: bool,
    /// `memory.stat`, as the kernel writes it.
    pub raw: BTreeMap<String, u64>,
}

/// Use and limit of one kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryCounter {
    /// Now, in bytes.
    pub usage: u64,
    /// The most so far, in bytes.
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
    /// In bytes; a huge number where there is none.
    pub limit: u64,
}

/// Tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be; zero without a limit.
    pub limit: u64,
}

/// Block devices, one list per counter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes; with control groups of version 2, every kind of counter.
    pub service_bytes: Vec<BlkioEntry>,
    /// Requests.
    pub serviced: Vec<BlkioEntry>,
    /// Requests that wait.
    pub queued: Vec<BlkioEntry>,
    /// Time of service, in nanoseconds.
    pub service_time: Vec<BlkioEntry>,
    /// Time of waiting, in nanoseconds.
    pub wait_time: Vec<BlkioEntry>,
    /// Requests that were merged.
    pub merged: Vec<BlkioEntry>,
    /// Time of the device, in milliseconds.
    pub time: Vec<BlkioEntry>,
    /// Sectors.
    pub sectors: Vec<BlkioEntry>,
}

/// One counter of one block device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlkioEntry {
    /// The device's major number.
    pub major: u64,
    /// The device's minor number.
    pub minor: u64,
    /// What was counted, in the kernel's words: `Read`, `Write`, `Total`, …
    pub op: String,
    /// The counter.
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HugetlbStats {
    /// Now, in bytes.
    pub usage: u64,
    /// The most so far, in bytes.
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceStats {
    /// Its name.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Errors while receiving.
    pub rx_errors: u64,
    /// Packets dropped while receiving.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Errors while sending.
    pub tx_errors: u64,
    /// Packets dropped while sending.
    pub tx_dropped: u64,
}

/// What a sandbox costs on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxStats {
    /// Processor time of the machine and its helpers, in nanoseconds.
    pub cpu: u64,
    /// Memory of the machine and its helpers, in bytes.
    pub memory: u64,
    /// Virtual CPUs of the machine.
    pub vcpus: u32,
}
