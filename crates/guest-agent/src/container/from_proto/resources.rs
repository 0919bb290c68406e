//! Limits of a container's cgroup.

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;

use super::linux::device_type;
use super::{built, text};
use crate::container::error::{EngineError, Result};

/// Reads limits. On the wire 0 is "not given" and a negative number "no limit"; a limit of
/// processes is given when its message is.
///
/// # Errors
/// Invalid, naming the property, for device rules and weights that make no sense.
pub(crate) fn resources(limits: &wire::LinuxResources) -> Result<oci::LinuxResources> {
    let mut read = oci::LinuxResources::default();
    read.set_devices(Some(
        limits.Devices.iter().map(rule).collect::<Result<_>>()?,
    ));
    read.set_memory(limits.Memory.as_ref().map(memory));
    read.set_cpu(limits.CPU.as_ref().map(cpu));
    read.set_pids(limits.Pids.as_ref().map(|pids| {
        let mut read = oci::LinuxPids::default();
        read.set_limit(pids.Limit);
        read
    }));
    read.set_block_io(limits.BlockIO.as_ref().map(block).transpose()?);
    read.set_hugepage_limits(Some(limits.HugepageLimits.iter().map(huge_pages).collect()));
    let unified = limits.Unified.clone().into_iter().collect();
    read.set_unified((!limits.Unified.is_empty()).then_some(unified));
    Ok(read)
}

/// Numbers below 0 are "any". So is a minor number of 0 beside a major one that is not given:
/// clients of kata-agent leave both at 0 then.
fn rule(rule: &wire::LinuxDeviceCgroup) -> Result<oci::LinuxDeviceCgroup> {
    let property = "linux.resources.devices";
    let mut read = oci::LinuxDeviceCgroup::default();
    read.set_allow(rule.Allow);
    let kind = if rule.Type.is_empty() {
        "a"
    } else {
        &rule.Type
    };
    read.set_typ(Some(device_type(property, kind)?));
    let major = Some(rule.Major).filter(|major| *major > 0);
    read.set_major(major);
    read.set_minor(Some(rule.Minor).filter(|minor| *minor > 0 || *minor == 0 && major.is_some()));
    read.set_access(text(&rule.Access));
    Ok(read)
}

fn memory(memory: &wire::LinuxMemory) -> oci::LinuxMemory {
    let given = |value: i64| Some(value).filter(|value| *value != 0);
    let mut read = oci::LinuxMemory::default();
    read.set_limit(given(memory.Limit));
    read.set_reservation(given(memory.Reservation));
    read.set_swap(given(memory.Swap));
    read.set_kernel(given(memory.Kernel));
    read.set_kernel_tcp(given(memory.KernelTCP));
    read.set_swappiness(Some(memory.Swappiness).filter(|value| *value != 0));
    read.set_disable_oom_killer(Some(memory.DisableOOMKiller));
    read
}

fn cpu(cpu: &wire::LinuxCPU) -> oci::LinuxCpu {
    let given = |value: u64| Some(value).filter(|value| *value != 0);
    let mut read = oci::LinuxCpu::default();
    read.set_shares(given(cpu.Shares));
    read.set_quota(Some(cpu.Quota).filter(|quota| *quota != 0));
    read.set_period(given(cpu.Period));
    read.set_realtime_runtime(Some(cpu.RealtimeRuntime).filter(|value| *value != 0));
    read.set_realtime_period(given(cpu.RealtimePeriod));
    read.set_cpus(text(&cpu.Cpus));
    read.set_mems(text(&cpu.Mems));
    read.set_idle(Some(cpu.Idle).filter(|idle| *idle != 0));
    read.set_burst(given(cpu.Burst));
    read
}

fn block(block: &wire::LinuxBlockIO) -> Result<oci::LinuxBlockIo> {
    let weight = |value: u32| {
        u16::try_from(value)
            .map(|value| Some(value).filter(|value| *value != 0))
            .map_err(|_| {
                EngineError::invalid(format!(
                    "linux.resources.blockIO.weight: {value} is too large"
                ))
            })
    };
    let mut read = oci::LinuxBlockIo::default();
    read.set_weight(weight(block.Weight)?);
    read.set_leaf_weight(weight(block.LeafWeight)?);
    read.set_throttle_read_bps_device(Some(throttles(&block.ThrottleReadBpsDevice)?));
    read.set_throttle_write_bps_device(Some(throttles(&block.ThrottleWriteBpsDevice)?));
    read.set_throttle_read_iops_device(Some(throttles(&block.ThrottleReadIOPSDevice)?));
    read.set_throttle_write_iops_device(Some(throttles(&block.ThrottleWriteIOPSDevice)?));
    Ok(read)
}

fn throttles(devices: &[wire::LinuxThrottleDevice]) -> Result<Vec<oci::LinuxThrottleDevice>> {
    let one = |device: &wire::LinuxThrottleDevice| {
        let builder = oci::LinuxThrottleDeviceBuilder::default()
            .major(device.Major)
            .minor(device.Minor)
            .rate(device.Rate);
        built("linux.resources.blockIO", builder.build())
    };
    devices.iter().map(one).collect()
}

fn huge_pages(limit: &wire::LinuxHugepageLimit) -> oci::LinuxHugepageLimit {
    let mut read = oci::LinuxHugepageLimit::default();
    read.set_page_size(limit.Pagesize.clone());
    // Beyond what the type holds there is no limit.
    read.set_limit(i64::try_from(limit.Limit).unwrap_or(-1));
    read
}
