//! Reaching the agent of a guest that boots: it calls, or it is asked.

use std::future::pending;
use std::time::Duration;

use tokio::time::Instant;
use virtcontainers_agent::{AnnounceListener, Result, Timeouts};
use virtcontainers_hypervisor::Machine;
use virtcontainers_types::Deadlines;

use super::Job;
use crate::Agent;

/// After this part of the boot's deadline, far more than boots take, an agent that should call is
/// asked as well. Not earlier: a connection that `vhost-device-vsock` 0.3 gets while QEMU still sets
/// its queues up ends its worker.
const LATE: u32 = 6;

/// The agent of a machine that was just started, within the job's limit.
///
/// Nothing polls while an agent that announces itself is on time. Dropping is safe.
pub(super) async fn reach(
    job: Job<'_>,
    machine: &dyn Machine,
    announcement: Option<AnnounceListener>,
) -> Result<Agent> {
    let deadlines = &job.plan.machine.deadlines;
    let agents = job.host.agents.as_ref();
    let end = Instant::now() + job.limit;
    let left = || end.saturating_duration_since(Instant::now());
    let endpoint = machine.agent_endpoint();
    let ask = |limit: Duration| agents.connect_with_retry(&endpoint, timeouts(deadlines), limit);
    let Some(listener) = announcement else {
        return ask(left()).await;
    };
    let called = async {
        listener.wait(left(), pending()).await?;
        agents.connect(&endpoint, timeouts(deadlines), left()).await
    };
    // A guest's call may be lost with a kick that `vhost-device-vsock` 0.3 throws away; the guest
    // calls again after 2 s, and this is for those that do not.
    let asked = async {
        tokio::time::sleep(deadlines.boot / LATE).await;
        ask(left()).await
    };
    tokio::select! {
        biased;
        agent = called => agent,
        agent = asked => agent,
    }
}

/// The deadlines of calls to the agent.
pub(super) fn timeouts(deadlines: &Deadlines) -> Timeouts {
    Timeouts {
        call: deadlines.rpc,
        create_container: deadlines.rpc,
    }
}
