//! Third phase: the guest boots and its agent answers.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use virtcontainers_agent::{Agent, Timeouts, connect, connect_with_retry};
use virtcontainers_hypervisor::Machine;
use virtcontainers_network::Namespace;
use virtcontainers_share::Daemon;
use virtcontainers_types::{AgentEndpoint, Deadlines};

use super::launch::{Launched, daemon_exit, lost};
use super::share::GuestContainer;
use super::{BootFailure, Job, Phase};
use crate::error::{Context, Error};

/// After this part of the boot's deadline, more than most boots take, an agent that should call is
/// asked as well.
const LATE: u32 = 20;

/// The machine runs and its agent serves.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) namespace: Namespace,
    pub(super) daemon: Arc<Daemon>,
    pub(super) machine: RunningMachine,
    pub(super) agent: Agent,
    pub(super) containers: Vec<GuestContainer>,
}

/// A machine that runs, and is killed when its owner is dropped.
#[derive(Debug)]
pub(crate) struct RunningMachine(Arc<dyn Machine>);

impl Deref for RunningMachine {
    type Target = dyn Machine;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl Drop for RunningMachine {
    fn drop(&mut self) {
        // It has ended already, unless a phase failed.
        if let Err(error) = self.0.kill() {
            tracing::warn!(%error, "the machine of a failed boot cannot be killed");
        }
    }
}

impl Launched {
    pub(super) async fn connect(self, job: Job<'_>) -> Result<Connected, BootFailure> {
        let Self {
            namespace,
            daemon,
            machine,
            announcement,
            containers,
        } = self;
        let deadline = Instant::now() + job.plan.machine.deadlines.boot;
        let started = machine.start().await;
        let machine = started.map_err(|error| BootFailure::of_machine(Phase::Guest, job, error))?;
        let timeouts = timeouts(&job.plan.machine.deadlines);
        let machine = RunningMachine(machine);
        let endpoint = machine.agent_endpoint();
        let left = || deadline.saturating_duration_since(Instant::now());
        let reach = async {
            let polled = || connect_with_retry(&endpoint, timeouts, left(), std::future::pending());
            let Some(listener) = announcement else {
                return polled().await;
            };
            let announced = async {
                listener.wait(left(), std::future::pending()).await?;
                connect(&endpoint, timeouts, left()).await
            };
            // Once in some hundred boots `vhost-device-vsock` 0.3 does not look at what the guest
            // sends until something comes from the host; asking is what wakes it.
            let lost_call = async {
                tokio::time::sleep(job.plan.machine.deadlines.boot / LATE).await;
                let agent = polled().await?;
                tracing::warn!(sandbox = %job.config.id, "the agent's first call was lost");
                Ok(agent)
            };
            tokio::select! {
                biased;
                agent = announced => agent,
                agent = lost_call => agent,
            }
        };
        tokio::select! {
            reached = reach => {
                let agent = reached
                    .during(|| unreachable_agent(job, job.plan.machine.deadlines.boot))
                    .map_err(BootFailure::at(Phase::Guest))?;
                Ok(Connected { namespace, daemon, machine, agent, containers })
            }
            exit = machine.wait() => Err(lost(Phase::Guest, exit)),
            exit = daemon_exit(&daemon) => Err(lost(Phase::Guest, exit)),
        }
    }
}

fn unreachable_agent(job: Job<'_>, deadline: Duration) -> String {
    format!(
        "the guest's agent in sandbox {} did not answer within {} s",
        job.config.id,
        deadline.as_secs()
    )
}

/// Connects to a guest that is known to be up.
pub(crate) async fn reconnect(
    endpoint: &AgentEndpoint,
    deadlines: Deadlines,
) -> Result<Agent, Error> {
    connect(endpoint, timeouts(&deadlines), deadlines.lock)
        .await
        .during(|| "cannot reach the guest's agent".to_owned())
}

fn timeouts(deadlines: &Deadlines) -> Timeouts {
    Timeouts {
        call: deadlines.rpc,
        create_container: deadlines.rpc,
    }
}
