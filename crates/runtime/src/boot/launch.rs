//! Second phase: the virtual machine monitor runs, its CPUs held.

use std::sync::Arc;

use tokio::net::unix::pipe;
use virtcontainers_agent::AnnounceListener;
use virtcontainers_hypervisor::{Handoffs, Launched as Machine, MachineExit, MachinePlan};
use virtcontainers_types::AgentStart;

use super::network::Network;
use super::share::{GuestContainer, Shared};
use super::{BootFailure, Job, Phase};
use crate::error::{Context, Error, ErrorKind};
use crate::network::Attached;
use crate::supervisor::console;
use virtcontainers_network::{Guest, Namespace};
use virtcontainers_share::Daemon;

/// The machine is there and waits; whoever it will call listens.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) namespace: Option<Namespace>,
    pub(super) daemon: Option<Arc<Daemon>>,
    pub(super) machine: Box<dyn Machine>,
    pub(super) announcement: Option<AnnounceListener>,
    pub(super) containers: Vec<GuestContainer>,
    pub(super) guest: Guest,
    pub(super) attached: Attached,
}

impl Shared {
    pub(super) async fn launch(self, job: Job<'_>) -> Result<Launched, BootFailure> {
        let Self {
            namespace,
            daemon,
            containers,
            network,
        } = self;
        let announcement = listen(job).map_err(BootFailure::at(Phase::Launch))?;
        let Network {
            devices,
            handoffs: network_devices,
            guest,
            attached,
        } = network;
        let handoffs = Handoffs {
            network_devices,
            ..handoffs(job, namespace.as_ref()).map_err(BootFailure::at(Phase::Launch))?
        };
        let plan = MachinePlan {
            network_devices: devices,
            ..job.plan.machine.clone()
        };
        let launch = job.host.backend.launch(plan, handoffs, job.ledger);
        tokio::select! {
            launched = launch => {
                let machine = launched
                    .map_err(|error| BootFailure::of_machine(Phase::Launch, job, error))?;
                Ok(Launched { namespace, daemon, machine, announcement, containers, guest, attached })
            }
            exit = daemon_exit(daemon.as_deref()) => Err(lost(Phase::Launch, exit)),
        }
    }
}

/// Listens for the agent's first call, before the machine that makes it exists.
fn listen(job: Job<'_>) -> Result<Option<AnnounceListener>, Error> {
    if job.config.agent.start == AgentStart::Polled {
        return Ok(None);
    }
    let endpoint = job
        .host
        .backend
        .agent_endpoint(&job.plan.machine)
        .during(|| "cannot tell where the guest's agent will be".to_owned())?;
    let listener = AnnounceListener::bind(&endpoint)
        .during(|| "cannot listen for the guest's agent".to_owned())?;
    Ok(Some(listener))
}

fn handoffs(job: Job<'_>, namespace: Option<&Namespace>) -> Result<Handoffs, Error> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Internal, "cannot prepare the guest's console").because(error)
    };
    let (console, reader) = console::channel().map_err(failed)?;
    let log = console::ConsoleLog::new(&job.plan.machine.directory);
    keep_console(reader, log);
    let network = namespace
        .map(Namespace::descriptor)
        .transpose()
        .during(|| "cannot hand the network namespace over".to_owned())?;
    Ok(Handoffs {
        network_namespace: network,
        network_devices: Vec::new(),
        console: Some(console),
        nonce: job.plan.nonce.clone(),
        die_with_launcher: job.die_with_thread,
    })
}

/// The task ends with the machine, which holds the other end of the pipe.
fn keep_console(reader: pipe::Receiver, log: console::ConsoleLog) {
    tokio::spawn(console::copy(reader, log));
}

/// Resolves when the file system daemon ends, without which the guest cannot go on; never when
/// there is none.
pub(super) async fn daemon_exit(daemon: Option<&Daemon>) -> MachineExit {
    daemon_ended(daemon).await.0
}

/// As [`daemon_exit`], and whether the daemon ended well, as it does when its machine is gone.
pub(super) async fn daemon_ended(daemon: Option<&Daemon>) -> (MachineExit, bool) {
    let Some(daemon) = daemon else {
        return std::future::pending().await;
    };
    let (reason, well) = match daemon.wait().await {
        Ok(exit) => (exit.to_string(), exit.is_success()),
        Err(error) => (error.to_string(), false),
    };
    let exit = MachineExit {
        program: "virtiofsd".to_owned(),
        reason,
        stderr: daemon.stderr(),
        expected: false,
    };
    (exit, well)
}

/// The failure that the end of a process is.
pub(super) fn lost(phase: Phase, exit: MachineExit) -> BootFailure {
    let error = Error::new(ErrorKind::Gone, format!("{exit} during the boot"));
    BootFailure {
        phase,
        error,
        exit: Some(exit),
    }
}
