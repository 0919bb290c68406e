//! From a plan to a process whose CPUs are held, and from there to a machine that runs.

use std::sync::Arc;

use async_trait::async_trait;
use virtcontainers_hypervisor::{
    Error, ErrorKind, Handoffs, Launched, Machine, MachineExit, MachinePlan,
};
use virtcontainers_process::{Child, Launcher, Mark, Stream};
use virtcontainers_types::{AgentEndpoint, UndoSink};

use super::REPORTS_VARIABLE;
use super::control::{self, Request};
use super::directory::MachineDirectory;
use super::machine::{self, ProcessMachine, Saved};
use super::undo::Effect;
use super::{AGENT_SOCKET, CONTROL_SOCKET, FAKE_MACHINE, FakeMachineSetup, ProcessBackend};
use crate::agent::Flavor;

/// A machine whose CPUs are held. Dropping it kills and reaps its process, then removes its sockets:
/// fields are dropped in this order.
#[derive(Debug)]
pub(super) struct ProcessLaunched {
    child: Child,
    sockets: SocketFiles,
    saved: Saved,
}

/// Removes the sockets when dropped, unless they are to be kept.
#[derive(Debug)]
struct SocketFiles {
    directory: Arc<MachineDirectory>,
    kept: bool,
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        if !self.kept {
            // A socket that is left is found by whoever compares the files.
            drop(self.directory.remove_sockets());
        }
    }
}

pub(super) fn launch(
    backend: &ProcessBackend,
    plan: MachinePlan,
    handoffs: Handoffs,
    undo: &dyn UndoSink,
) -> Result<ProcessLaunched, Error> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot prepare {}", plan.directory.display());
        Error::new(ErrorKind::Internal, message).with_source(error)
    };
    if handoffs.nonce.is_empty() {
        let message = "a machine without a nonce could not be found again";
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let directory = Arc::new(MachineDirectory::open(&plan.directory).map_err(failed)?);
    let place = plan.directory.clone();
    Effect::Sockets { directory: place }.record(undo)?;
    let sockets = SocketFiles {
        directory: Arc::clone(&directory),
        kept: false,
    };
    directory.remove_sockets().map_err(failed)?;
    let control = directory.listen(CONTROL_SOCKET).map_err(failed)?;

    let setup = FakeMachineSetup {
        id: plan.id.clone(),
        exact: backend.flavor == Flavor::Exact,
        links: backend.links.clone(),
        network_devices: plan.network_devices,
        most_network_devices: backend.capabilities.network_devices,
        reports: backend
            .reports
            .clone()
            .or_else(|| std::env::var_os(REPORTS_VARIABLE).map(Into::into)),
    };
    let setup = serde_json::to_string(&setup).map_err(|error| failed(error.into()))?;
    let mark = Mark::new(handoffs.nonce, FAKE_MACHINE);
    let mut launcher = Launcher::new(&backend.program)
        .arg(setup)
        .current_dir(&plan.directory)
        .marked(&mark)
        .stdin(Stream::Descriptor(control.into()))
        .kill_on_drop();
    if let Some(console) = handoffs.console {
        launcher = launcher.stdout(Stream::Descriptor(console));
    }
    if let Some(namespace) = handoffs.network_namespace {
        launcher = launcher.network_namespace(namespace);
    }
    if handoffs.die_with_launcher {
        launcher = launcher.die_with_thread();
    }
    Effect::Process { mark }.record(undo)?;
    let child = launcher.spawn().map_err(|error| {
        let message = format!("cannot start {FAKE_MACHINE}");
        Error::new(ErrorKind::Internal, message).with_source(error)
    })?;
    let saved = Saved {
        endpoint: AgentEndpoint::Unix {
            path: plan.directory.join(AGENT_SOCKET),
        },
        process: machine::to_types(child.identity()),
        can_pause: backend.capabilities.pause,
        can_plug: backend.capabilities.network_hotplug,
        directory: plan.directory,
    };
    Ok(ProcessLaunched {
        child,
        sockets,
        saved,
    })
}

#[async_trait]
impl Launched for ProcessLaunched {
    async fn start(mut self: Box<Self>) -> Result<Arc<dyn Machine>, Error> {
        control::ask(&self.sockets.directory, Request::Start).await?;
        let events = control::events(&self.sockets.directory).await?;
        self.child.keep_on_drop();
        self.sockets.kept = true;
        let directory = Arc::clone(&self.sockets.directory);
        let machine = ProcessMachine::launched(self.child, directory, self.saved, events);
        Ok(Arc::new(machine))
    }

    async fn exited(&self) -> MachineExit {
        machine::exit_of(self.child.wait().await.ok())
    }
}
