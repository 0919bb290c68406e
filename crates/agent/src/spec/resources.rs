//! cgroup limits. Numbers of the host's processors and devices mean something else in the guest
//! and stay behind; the host applies them to the machine.

use std::collections::BTreeMap;

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;

use super::{DISTORTED, Dialect, LeftOut, NO_FIELD, Notes, OF_HOST};

/// Writes limits for the guest, at creation or to change them. What is left out is told.
pub fn resources(
    limits: &oci::LinuxResources,
    dialect: Dialect,
) -> (wire::LinuxResources, Vec<LeftOut>) {
    let mut notes = Notes::default();
    let exact = dialect == Dialect::Exact;
    let pids = limits.pids().as_ref();
    notes.add_if(!exact && pids.is_some(), "linux.resources.pids", DISTORTED);
    let rules = limits.devices().as_deref().unwrap_or_default();
    notes.add_if(
        !exact && !rules.is_empty(),
        "linux.resources.devices",
        DISTORTED,
    );
    notes.add_if(
        limits.block_io().is_some(),
        "linux.resources.blockIO",
        OF_HOST,
    );
    notes.add_if(
        limits.network().is_some(),
        "linux.resources.network",
        OF_HOST,
    );
    notes.add_if(limits.rdma().is_some(), "linux.resources.rdma", OF_HOST);
    let unified = unified(limits, exact, &mut notes);
    let memory = limits
        .memory()
        .as_ref()
        .map(|m| memory(m, exact, &mut notes));
    let cpu = limits.cpu().as_ref().map(|c| cpu(c, exact, &mut notes));
    let guest = wire::LinuxResources {
        Devices: if exact {
            rules.iter().map(rule).collect()
        } else {
            Vec::new()
        },
        Memory: memory.into(),
        CPU: cpu.into(),
        Pids: pids.filter(|_| exact).map(pids_limit).into(),
        HugepageLimits: limits
            .hugepage_limits()
            .iter()
            .flatten()
            .filter_map(|limit| huge_pages(limit, exact))
            .collect(),
        Unified: unified,
        ..Default::default()
    };
    (guest, notes.0)
}

/// A signed limit. Zero means "not set" on the wire; kata-agent drops -1 ("unlimited"), too.
fn signed(value: Option<i64>, exact: bool, property: &'static str, notes: &mut Notes) -> i64 {
    let value = value.unwrap_or(0);
    notes.add_if(!exact && value < 0, property, DISTORTED);
    if exact { value } else { value.max(0) }
}

fn memory(memory: &oci::LinuxMemory, exact: bool, notes: &mut Notes) -> wire::LinuxMemory {
    let mut signed = |value, property| signed(value, exact, property, notes);
    wire::LinuxMemory {
        Limit: signed(memory.limit(), "linux.resources.memory.limit"),
        Reservation: signed(memory.reservation(), "linux.resources.memory.reservation"),
        Swap: signed(memory.swap(), "linux.resources.memory.swap"),
        Kernel: signed(memory.kernel(), "linux.resources.memory.kernel"),
        KernelTCP: signed(memory.kernel_tcp(), "linux.resources.memory.kernelTCP"),
        Swappiness: memory.swappiness().unwrap_or(0),
        DisableOOMKiller: memory.disable_oom_killer().unwrap_or(false),
        ..Default::default()
    }
}

fn cpu(cpu: &oci::LinuxCpu, exact: bool, notes: &mut Notes) -> wire::LinuxCPU {
    notes.add_if(cpu.cpus().is_some(), "linux.resources.cpu.cpus", OF_HOST);
    notes.add_if(cpu.mems().is_some(), "linux.resources.cpu.mems", OF_HOST);
    let (idle, burst) = (cpu.idle(), cpu.burst());
    let given = !exact && idle.is_some();
    notes.add_if(given, "linux.resources.cpu.idle", NO_FIELD);
    let given = !exact && burst.is_some();
    notes.add_if(given, "linux.resources.cpu.burst", NO_FIELD);
    let mut signed = |value, property| signed(value, exact, property, notes);
    let runtime = "linux.resources.cpu.realtimeRuntime";
    wire::LinuxCPU {
        Shares: cpu.shares().unwrap_or(0),
        Quota: signed(cpu.quota(), "linux.resources.cpu.quota"),
        Period: cpu.period().unwrap_or(0),
        RealtimeRuntime: signed(cpu.realtime_runtime(), runtime),
        RealtimePeriod: cpu.realtime_period().unwrap_or(0),
        Idle: idle.filter(|_| exact).unwrap_or(0),
        Burst: burst.filter(|_| exact).unwrap_or(0),
        ..Default::default()
    }
}

/// Files of a cgroup by name, but those that name processors or devices.
fn unified(
    limits: &oci::LinuxResources,
    exact: bool,
    notes: &mut Notes,
) -> BTreeMap<String, String> {
    let Some(files) = limits.unified() else {
        return BTreeMap::new();
    };
    notes.add_if(!exact, "linux.resources.unified", NO_FIELD);
    let of_host = |name: &str| name.starts_with("io.") || name.starts_with("cpuset.");
    let numbered = files.keys().any(|name| of_host(name));
    notes.add_if(exact && numbered, "linux.resources.unified", OF_HOST);
    files
        .iter()
        .filter(|(name, _)| exact && !of_host(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn pids_limit(pids: &oci::LinuxPids) -> wire::LinuxPids {
    wire::LinuxPids {
        Limit: pids.limit(),
        ..Default::default()
    }
}

/// A device rule. A number that is not given means "any", written as -1.
fn rule(rule: &oci::LinuxDeviceCgroup) -> wire::LinuxDeviceCgroup {
    wire::LinuxDeviceCgroup {
        Allow: rule.allow(),
        Type: rule.typ().unwrap_or_default().as_str().to_owned(),
        Major: rule.major().unwrap_or(-1),
        Minor: rule.minor().unwrap_or(-1),
        Access: rule.access().clone().unwrap_or_default(),
        ..Default::default()
    }
}

/// A negative limit is none, which our agent is told by the largest number.
fn huge_pages(limit: &oci::LinuxHugepageLimit, exact: bool) -> Option<wire::LinuxHugepageLimit> {
    let bytes = u64::try_from(limit.limit()).ok();
    Some(wire::LinuxHugepageLimit {
        Pagesize: limit.page_size().clone(),
        Limit: bytes.or(exact.then_some(u64::MAX))?,
        ..Default::default()
    })
}
