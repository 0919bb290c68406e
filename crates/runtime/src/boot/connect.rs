//! Third phase: the guest boots and its agent answers.

use std::ops::Deref;
use std::sync::Arc;

use virtcontainers_agent::Connector;
use virtcontainers_hypervisor::Machine;
use virtcontainers_network::{Guest, Namespace};
use virtcontainers_share::Daemon;
use virtcontainers_types::{AgentEndpoint, Deadlines};

use super::launch::{Launched, daemon_exit, lost};
use super::reach::{reach, timeouts};
use super::share::GuestContainer;
use super::{BootFailure, Job, Phase};
use crate::Agent;
use crate::error::{Context, Error, ErrorKind};
use crate::network::Attached;

/// The machine runs and its agent serves.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) namespace: Option<Namespace>,
    pub(super) daemon: Option<Arc<Daemon>>,
    pub(super) machine: RunningMachine,
    pub(super) agent: Agent,
    pub(super) containers: Vec<GuestContainer>,
    pub(super) guest: Guest,
    pub(super) attached: Attached,
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
            guest,
            attached,
        } = self;
        let started = machine.start().await;
        let machine = started.map_err(|error| BootFailure::of_machine(Phase::Guest, job, error))?;
        let machine = RunningMachine(machine);
        tokio::select! {
            reached = reach(job, &*machine, announcement) => {
                let agent = reached
                    .during(|| unreachable_agent(job))
                    .map_err(BootFailure::at(Phase::Guest))?;
                Ok(Connected { namespace, daemon, machine, agent, containers, guest, attached })
            }
            exit = machine.wait() => Err(lost(Phase::Guest, exit)),
            exit = daemon_exit(daemon.as_deref()) => Err(lost(Phase::Guest, exit)),
        }
    }
}

fn unreachable_agent(job: Job<'_>) -> String {
    format!(
        "the guest's agent in sandbox {} did not answer within {} s",
        job.config.id,
        job.limit.as_secs()
    )
}

/// How often a guest that is known to be up is called before it is given up.
const CALLS: u32 = 3;

/// Connects to a guest that is known to be up. A call that is not answered in a part of the time is
/// made again: `vhost-device-vsock` 0.3 may lose one on a busy host, and the next takes it along.
pub(crate) async fn reconnect(
    connector: &dyn Connector,
    endpoint: &AgentEndpoint,
    deadlines: Deadlines,
) -> Result<Agent, Error> {
    let limit = deadlines.lock / CALLS;
    let mut call = 1;
    loop {
        match connector
            .connect(endpoint, timeouts(&deadlines), limit)
            .await
        {
            Err(error) if error.kind() == ErrorKind::Timeout && call < CALLS => {
                tracing::warn!(
                    call,
                    "the guest's agent does not answer and is called again"
                );
                call += 1;
            }
            called => return called.during(|| "cannot reach the guest's agent".to_owned()),
        }
    }
}
