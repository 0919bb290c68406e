//! Counters of containers, and of what a sandbox costs on the host.

use tracing::instrument;
use virtcontainers_process::Identity;
use virtcontainers_store::Record;
use virtcontainers_types::{
    ContainerId, ContainerState, ContainerStats, Operation, SandboxId, SandboxStats,
};

use crate::error::{Context, Error};
use crate::runtime::{Runtime, blocking};

impl Runtime {
    /// Reads the counters of a container in the guest. No lock is held while the guest answers.
    ///
    /// Errors: `NotFound`, `WrongState`, `Gone`, `Timeout`. Safe to drop.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn stats_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<ContainerStats, Error> {
        let operation = Operation::StatsContainer;
        let record = self.load(operation, id, Some(container)).await?;
        self.read_stats(&record, container)
            .await
            .map_err(|error| error.of(id))
    }

    /// Reads what a sandbox costs on the host, and the counters of its containers that have not
    /// ended. Errors and dropping: as [`stats_container`](Self::stats_container).
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn stats_sandbox(
        &self,
        id: &SandboxId,
    ) -> Result<(SandboxStats, Vec<(ContainerId, ContainerStats)>), Error> {
        let record = self.load(Operation::StatsSandbox, id, None).await?;
        let machine = self.machine(&record).await?;
        let mut processes = machine.processes();
        processes.extend(record.supervisor);
        let config = record
            .config
            .get()
            .during(|| format!("cannot read the configuration of sandbox {id}"))?;
        let vcpus = config.vcpus.count();
        let cost = blocking(move || Ok(cost(&processes, vcpus))).await?;
        let mut containers = Vec::with_capacity(record.containers.len());
        for container in record.containers.iter().map(|known| &known.status) {
            if container.state != ContainerState::Stopped {
                let stats = self.read_stats(&record, &container.id).await;
                containers.push((container.id.clone(), stats.map_err(|error| error.of(id))?));
            }
        }
        Ok((cost, containers))
    }

    async fn read_stats(
        &self,
        record: &Record,
        container: &ContainerId,
    ) -> Result<ContainerStats, Error> {
        let agent = self.connect_agent(record).await?;
        let reply = agent
            .stats_container(container)
            .await
            .during(|| format!("cannot read the counters of container {container}"))?;
        Ok(virtcontainers_agent::stats::container(reply))
    }
}

/// What processes use; one that is gone used nothing.
fn cost(processes: &[virtcontainers_types::ProcessIdentity], vcpus: u32) -> SandboxStats {
    let mut sum = SandboxStats {
        vcpus,
        ..SandboxStats::default()
    };
    for process in processes {
        let identity = Identity {
            pid: process.pid,
            start_time: process.start_time,
        };
        if let Some(usage) = identity.usage() {
            sum.cpu = sum.cpu.saturating_add(usage.cpu_ns);
            sum.memory = sum.memory.saturating_add(usage.resident);
        }
    }
    sum
}
