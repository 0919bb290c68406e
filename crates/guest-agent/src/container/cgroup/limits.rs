//! What the limits of a specification are in files of a cgroup. Pure.

use std::borrow::Cow;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxPids, LinuxResources,
    LinuxThrottleDevice,
};

use crate::container::error::{EngineError, Result};

/// One value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// File in the cgroup.
    pub(super) file: Cow<'static, str>,
    /// What to write.
    pub(super) value: String,
}

impl Write {
    fn new(file: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            value: value.into(),
        }
    }

    /// Whether it asks for no limit.
    pub(super) fn is_none(&self) -> bool {
        self.value == "max"
    }
}

/// What is in force already, where a file of the kernel holds what are two limits of a
/// specification and only one of them is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Current {
    /// Quota and period of `cpu.max`.
    cpu: Option<(String, u64)>,
    /// `memory.max`; -1 for none.
    memory: Option<i64>,
}

impl Current {
    /// From the texts of the two files.
    pub(super) fn read(cpu_max: &str, memory_max: &str) -> Self {
        let cpu = cpu_max.split_once(' ').and_then(|(quota, period)| {
            let period = period.trim().parse().ok()?;
            Some((quota.to_owned(), period))
        });
        let memory = match memory_max.trim() {
            "max" => Some(-1),
            bytes => bytes.parse().ok(),
        };
        Self { cpu, memory }
    }
}

/// Period of processor quotas where none is given, in microseconds.
const PERIOD: u64 = 100_000;

/// Everything there is to write, in an order in which it can be written.
pub(super) fn writes(resources: &LinuxResources, current: &Current) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    if let Some(cpu) = resources.cpu() {
        of_cpu(cpu, current, &mut writes)?;
    }
    if let Some(memory) = resources.memory() {
        of_memory(memory, current, &mut writes)?;
    }
    if let Some(pids) = resources.pids() {
        writes.push(of_pids(pids));
    }
    if let Some(block) = resources.block_io() {
        of_block(block, &mut writes)?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        writes.push(of_huge_pages(limit)?);
    }
    for (file, value) in resources.unified().iter().flatten() {
        if file.contains(['/', '\0']) || file.starts_with("cgroup.") {
            return Err(refused(&format!("unified: {file:?} is not a limit")));
        }
        writes.push(Write::new(file.clone(), value.clone()));
    }
    Ok(writes)
}

fn refused(why: &str) -> EngineError {
    EngineError::invalid(format!("linux.resources.{why}"))
}

fn of_cpu(cpu: &LinuxCpu, current: &Current, writes: &mut Vec<Write>) -> Result<()> {
    if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
        writes.push(Write::new("cpu.weight", weight(shares).to_string()));
    }
    if let Some(idle) = cpu.idle().filter(|idle| *idle != 0) {
        writes.push(Write::new("cpu.idle", idle.to_string()));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period > 0);
    if quota.is_some() || period.is_some() {
        let now = current.cpu.as_ref();
        let quota = match quota.map(u64::try_from) {
            Some(Ok(quota)) => quota.to_string(),
            Some(Err(_)) => "max".to_owned(),
            None => now.map_or("max".to_owned(), |(quota, _)| quota.clone()),
        };
        let period = period.or(now.map(|(_, period)| *period));
        writes.push(Write::new(
            "cpu.max",
            match period {
                None if quota == "max" => quota,
                period => format!("{quota} {}", period.unwrap_or(PERIOD)),
            },
        ));
    }
    if let Some(burst) = cpu.burst().filter(|burst| *burst > 0) {
        writes.push(Write::new("cpu.max.burst", burst.to_string()));
    }
    if cpu.realtime_runtime().is_some_and(|runtime| runtime > 0) {
        return Err(refused(
            "cpu.realtimeRuntime does not exist in cgroups of version 2",
        ));
    }
    for (file, list) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            let digits = |letter: char| letter.is_ascii_digit() || "-, ".contains(letter);
            if !list.chars().all(digits) {
                return Err(refused(&format!("cpu: {list:?} is not a list of numbers")));
            }
            writes.push(Write::new(file, list.clone()));
        }
    }
    Ok(())
}

/// Shares of version 1, 2 to 262144, as weights of version 2, 1 to 10000.
fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9999 / 262_142
}

/// A limit in bytes: 0 is "not given", a negative one is none.
fn bytes(value: Option<i64>) -> Option<String> {
    match value? {
        0 => None,
        value => Some(u64::try_from(value).map_or("max".to_owned(), |value| value.to_string())),
    }
}

fn of_memory(memory: &LinuxMemory, current: &Current, writes: &mut Vec<Write>) -> Result<()> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    let swap = memory.swap().filter(|swap| *swap != 0);
    // Version 1 counts memory and swap together.
    let swap = match (swap, limit.or(current.memory)) {
        (None, _) => None,
        (Some(swap), _) if swap < 0 => Some("max".to_owned()),
        (Some(_), Some(limit)) if limit < 0 => Some("max".to_owned()),
        (Some(swap), Some(limit)) if swap >= limit => Some((swap - limit).to_string()),
        (Some(_), Some(_)) => return Err(refused("memory: swap must not be below limit")),
        (Some(_), None) => return Err(refused("memory: swap needs a limit, too")),
    };
    if let Some(value) = bytes(limit) {
        writes.push(Write::new("memory.max", value));
    }
    if let Some(value) = swap {
        writes.push(Write::new("memory.swap.max", value));
    }
    if let Some(value) = bytes(memory.reservation()) {
        writes.push(Write::new("memory.low", value));
    }
    Ok(())
}

/// Unlike other limits, one of processes has no "not given": the message is there or it is not.
fn of_pids(pids: &LinuxPids) -> Write {
    let value = if pids.limit() > 0 {
        pids.limit().to_string()
    } else {
        "max".to_owned()
    };
    Write::new("pids.max", value)
}

fn of_block(block: &LinuxBlockIo, writes: &mut Vec<Write>) -> Result<()> {
    if let Some(weight) = block.weight().filter(|weight| *weight > 0) {
        if !(10..=1000).contains(&weight) {
            return Err(refused("blockIO.weight is not between 10 and 1000"));
        }
        let weight = 1 + (u64::from(weight) - 10) * 9999 / 990;
        writes.push(Write::new("io.weight", format!("default {weight}")));
    }
    for (key, devices) in [
        ("rbps", block.throttle_read_bps_device()),
        ("wbps", block.throttle_write_bps_device()),
        ("riops", block.throttle_read_iops_device()),
        ("wiops", block.throttle_write_iops_device()),
    ] {
        writes.extend(devices.iter().flatten().map(|device| throttle(key, device)));
    }
    Ok(())
}

fn throttle(key: &str, device: &LinuxThrottleDevice) -> Write {
    let rate = match device.rate() {
        0 => "max".to_owned(),
        rate => rate.to_string(),
    };
    Write::new(
        "io.max",
        format!("{}:{} {key}={rate}", device.major(), device.minor()),
    )
}

fn of_huge_pages(limit: &LinuxHugepageLimit) -> Result<Write> {
    let size = limit.page_size();
    if size.is_empty() || !size.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        return Err(refused(&format!(
            "hugepageLimits: {size:?} is not a page size"
        )));
    }
    let value = u64::try_from(limit.limit()).map_or("max".to_owned(), |limit| limit.to_string());
    Ok(Write::new(format!("hugetlb.{size}.max"), value))
}

#[cfg(test)]
mod tests;
