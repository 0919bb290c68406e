//! How large a machine is for the limits of its first container: a limit is the container's alone,
//! and the guest needs something beside it.

use oci_spec::runtime::Spec;
use virtcontainers_types::{Mebibytes, VcpuCount};

const MIB: u64 = 1024 * 1024;
/// What a quota refers to when nothing is said, in microseconds (cgroup-v2, `cpu.max`).
const DEFAULT_PERIOD: u64 = 100_000;

/// What a container may use; absent: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) memory: Option<Mebibytes>,
    /// Whole CPUs that it can keep busy.
    pub(super) cpus: Option<u32>,
}

/// What there is; absent: not known, and then nothing is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    pub(super) memory: Option<Mebibytes>,
    pub(super) cpus: Option<u32>,
}

impl Host {
    pub(super) fn here() -> Self {
        let info = rustix::system::sysinfo();
        let bytes = info.totalram.checked_mul(info.mem_unit.into());
        let cpus = std::thread::available_parallelism().ok();
        Self {
            memory: bytes.map(|bytes| Mebibytes(bytes / MIB)),
            cpus: cpus.and_then(|cpus| u32::try_from(cpus.get()).ok()),
        }
    }
}

pub(super) fn limits(spec: &Spec) -> Limits {
    let resources = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().as_ref());
    let memory = resources
        .and_then(|resources| resources.memory().as_ref()?.limit())
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| *bytes > 0);
    let cpu = resources.and_then(|resources| resources.cpu().as_ref());
    let quota = cpu
        .and_then(|cpu| cpu.quota())
        .and_then(|quota| u64::try_from(quota).ok())
        .filter(|quota| *quota > 0);
    let period = cpu
        .and_then(|cpu| cpu.period())
        .filter(|period| *period > 0);
    Limits {
        memory: memory.map(|bytes| Mebibytes(bytes.div_ceil(MIB))),
        cpus: quota.map(|quota| {
            let cpus = quota.div_ceil(period.unwrap_or(DEFAULT_PERIOD));
            u32::try_from(cpus).unwrap_or(u32::MAX)
        }),
    }
}

/// The configured memory and the container's beside it. A limit above what the host has is a limit
/// all the same, and not a wish.
pub(super) fn memory(configured: Mebibytes, limits: Limits, host: Host) -> Mebibytes {
    let Some(limit) = limits.memory else {
        return configured;
    };
    let sum = Mebibytes(configured.0.saturating_add(limit.0));
    let most = host.memory.unwrap_or(sum).max(configured);
    sum.min(most)
}

pub(super) fn vcpus(configured: VcpuCount, limits: Limits, host: Host) -> VcpuCount {
    let Some(cpus) = limits.cpus else {
        return configured;
    };
    let bounded = cpus.min(host.cpus.unwrap_or(cpus));
    VcpuCount::new(bounded).map_or(configured, |cpus| cpus.max(configured))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        memory: Some(Mebibytes(1024)),
        cpus: Some(4),
    };

    fn limits_of(resources: serde_json::Value) -> Limits {
        let document = serde_json::json!({
            "ociVersion": "1.2.0", "linux": {"resources": resources},
        });
        limits(&serde_json::from_value(document).unwrap())
    }

    #[test]
    fn machines_for_limits() {
        let rows = [
            (serde_json::json!({}), 256, 1),
            (serde_json::json!({"memory": {"limit": 67_108_864}}), 320, 1),
            (serde_json::json!({"memory": {"limit": 1}}), 257, 1),
            (serde_json::json!({"memory": {"limit": -1}}), 256, 1),
            (serde_json::json!({"memory": {"limit": i64::MAX}}), 1024, 1),
            (
                serde_json::json!({"cpu": {"quota": 50_000, "period": 100_000}}),
                256,
                1,
            ),
            (
                serde_json::json!({"cpu": {"quota": 150_000, "period": 100_000}}),
                256,
                2,
            ),
            (serde_json::json!({"cpu": {"quota": 300_000}}), 256, 3),
            (serde_json::json!({"cpu": {"quota": 9_000_000}}), 256, 4),
            (
                serde_json::json!({"cpu": {"quota": -1, "period": 100_000}}),
                256,
                1,
            ),
        ];
        for (resources, size, cpus) in rows {
            let limits = limits_of(resources.clone());
            let got = memory(Mebibytes(256), limits, HOST);
            assert_eq!(got, Mebibytes(size), "{resources}");
            let got = vcpus(VcpuCount::ONE, limits, HOST);
            assert_eq!(got.count(), cpus, "{resources}");
        }
    }

    #[test]
    fn what_is_configured_is_the_least() {
        let limits = limits_of(serde_json::json!({
            "memory": {"limit": 1}, "cpu": {"quota": 100_000},
        }));
        assert_eq!(memory(Mebibytes(2048), limits, HOST), Mebibytes(2048));
        let two = VcpuCount::new(2).unwrap();
        assert_eq!(vcpus(two, limits, HOST), two);
    }
}
