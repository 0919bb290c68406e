//! What a sandbox costs beside what its containers use: measured on one that is made for it.

mod memory;

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use virtcontainers_agent::{Connector, Timeouts, Ttrpc};
use virtcontainers_oci::{CommandLine, container_spec};
use virtcontainers_runtime::{CreateOptions, ErrorKind, Runtime, Sandbox};
use virtcontainers_types::{
    Attachment, ContainerConfig, ContainerId, Lifetime, Mebibytes, RootFs, SandboxId,
};

use crate::inspect::{HostProcess, Inspection};
use crate::{Config, Error, registry};
use memory::GuestMemory;

/// Processor time is rounded up to this, in thousandths of a processor.
const CPU_STEP: u64 = 10;

/// What was measured, and what follows from it. The names of its JSON form are stable.
#[derive(Debug, Clone, Serialize)]
pub struct Overhead {
    /// The memory that the machine has, in bytes.
    pub machine_memory: u64,
    /// Memory that the idle sandbox takes on the host, in bytes: that of all its processes.
    pub host_memory: u64,
    /// The part of it that is the guest's own memory, as far as the guest has touched it.
    pub guest_memory_on_host: u64,
    /// Memory that containers may use in the guest, in bytes; absent when the agent does not tell.
    pub guest_available: Option<u64>,
    /// Processor time that the idle sandbox takes, in millionths of a processor.
    pub idle_cpu_micros: u64,
    /// Processor time that it took to come up, in nanoseconds.
    pub boot_cpu: u64,
    /// How long it took to come up, in milliseconds.
    pub boot_millis: u64,
    /// The processes and what each takes.
    pub processes: Vec<HostProcess>,
    /// What a Kubernetes RuntimeClass is to say.
    pub pod_fixed: PodFixed,
}

/// The field `overhead.podFixed` of a RuntimeClass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PodFixed {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Thousandths of a processor.
    pub cpu_milli: u64,
}

impl Overhead {
    /// Makes a sandbox as `config` describes it, with one container that does nothing, watches it for
    /// `duration`, and removes it. It ends with this process. Dropping the future removes it too,
    /// a little later.
    ///
    /// Errors: as [`Runtime::create_sandbox`].
    pub async fn measure(
        config: &Config,
        runtime: &Runtime,
        duration: Duration,
    ) -> Result<Self, Error> {
        let failed = |error: virtcontainers_runtime::Error| {
            Error::new(error.kind(), "cannot measure a sandbox").because(error)
        };
        let rootfs = tempfile::Builder::new()
            .prefix("vc-overhead-")
            .tempdir()
            .map_err(|error| {
                let message = "cannot make a root file system to measure with";
                Error::new(ErrorKind::Internal, message).because(error)
            })?;
        let wanted = registry::sandbox_config(config, container(rootfs.path())?)?;
        let wanted = virtcontainers_types::SandboxConfig {
            lifetime: Lifetime::Explicit,
            ..wanted
        };
        let machine_memory = wanted.memory;
        let options = CreateOptions {
            attachment: Attachment::Attached,
            ..CreateOptions::default()
        };
        let begun = Instant::now();
        let sandbox = runtime
            .create_sandbox(wanted, options)
            .await
            .map_err(failed)?;
        let boot = begun.elapsed();
        let measured = watch(config, runtime, &sandbox, duration).await;
        let deleted = sandbox.delete(true).await.map_err(failed);
        let watched = measured?;
        deleted?;
        Ok(watched.conclude(machine_memory, boot))
    }
}

/// A container that is created and never started.
fn container(rootfs: &Path) -> Result<ContainerConfig, Error> {
    let process = std::process::id();
    let id = ContainerId::new(format!("overhead-{process}")).map_err(|error| {
        Error::new(ErrorKind::Internal, "cannot name a sandbox to measure").because(error)
    })?;
    let command = CommandLine {
        args: vec!["/nothing".to_owned()],
        ..CommandLine::default()
    };
    Ok(ContainerConfig {
        id,
        rootfs: RootFs::Host(rootfs.to_owned()),
        bundle: None,
        cgroup: None,
        spec: container_spec(&command, rootfs, &[]),
    })
}

/// What was seen.
struct Watched {
    before: Vec<HostProcess>,
    after: Vec<HostProcess>,
    passed: Duration,
    guest_on_host: u64,
    guest: Option<GuestMemory>,
}

async fn watch(
    config: &Config,
    runtime: &Runtime,
    sandbox: &Sandbox,
    duration: Duration,
) -> Result<Watched, Error> {
    let id: &SandboxId = sandbox.id();
    let guest = guest_memory(runtime, sandbox).await;
    let before = Inspection::of(config, runtime, id).await?;
    let begun = Instant::now();
    tokio::time::sleep(duration).await;
    let after = Inspection::of(config, runtime, id).await?.processes;
    let passed = begun.elapsed();
    let machine = before.config.map_or(0, |config| config.memory.bytes());
    let pids = after.iter().map(|process| process.pid);
    Ok(Watched {
        guest_on_host: pids.map(|pid| memory::of_guest(pid, machine)).sum(),
        before: before.processes,
        after,
        passed,
        guest,
    })
}

/// What the guest tells of its memory; an agent that does not tell is no failure.
async fn guest_memory(runtime: &Runtime, sandbox: &Sandbox) -> Option<GuestMemory> {
    let endpoint = sandbox.agent_url().await.ok()?;
    let limit = runtime.deadlines().rpc;
    let agent = Ttrpc.connect(&endpoint, Timeouts::default(), limit).await;
    let metrics = agent.ok()?.get_metrics().await.ok()?;
    GuestMemory::parse(&metrics)
}

impl Watched {
    fn conclude(self, machine: Mebibytes, boot: Duration) -> Overhead {
        let cpu = |processes: &[HostProcess]| processes.iter().map(|one| one.cpu).sum::<u64>();
        let host_memory = self.after.iter().map(|one| one.memory).sum::<u64>();
        let spent = cpu(&self.after).saturating_sub(cpu(&self.before));
        let idle_cpu_micros = per_million(spent, self.passed);
        let available = self.guest.map(|guest| guest.available);
        Overhead {
            machine_memory: machine.bytes(),
            host_memory,
            guest_memory_on_host: self.guest_on_host,
            guest_available: available,
            idle_cpu_micros,
            boot_cpu: cpu(&self.before),
            boot_millis: u64::try_from(boot.as_millis()).unwrap_or(u64::MAX),
            pod_fixed: PodFixed {
                memory_mib: pod_memory(host_memory, self.guest_on_host, machine.bytes(), available)
                    .div_ceil(1 << 20),
                cpu_milli: idle_cpu_micros.div_ceil(1000 * CPU_STEP).max(1) * CPU_STEP,
            },
            processes: self.after,
        }
    }
}

/// The most that the host has to spare beyond what containers use: what lies beside the guest's
/// memory, and of the guest's memory what containers cannot have.
fn pod_memory(host: u64, guest_on_host: u64, machine: u64, available: Option<u64>) -> u64 {
    let beside = host.saturating_sub(guest_on_host);
    let kept = available.map_or(guest_on_host, |available| machine.saturating_sub(available));
    beside + kept
}

fn per_million(spent_ns: u64, passed: Duration) -> u64 {
    let passed = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).max(1);
    spent_ns.saturating_mul(1000) / passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_pays_for_all_that_its_containers_cannot_use() {
        let mib = |count: u64| count << 20;
        // 40 beside the guest; the guest keeps 50 of its 256, of which it has touched 45.
        let told = pod_memory(mib(85), mib(45), mib(256), Some(mib(206)));
        assert_eq!(told, mib(90));
        let untold = pod_memory(mib(85), mib(45), mib(256), None);
        assert_eq!(untold, mib(85), "what it takes now is all that is known");
    }

    #[test]
    fn processor_time_is_a_share() {
        assert_eq!(per_million(5_000_000, Duration::from_secs(1)), 5000);
        assert_eq!(per_million(0, Duration::ZERO), 0);
    }
}
