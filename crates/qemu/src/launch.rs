//! From a plan to a machine whose CPUs have not started, and from there to one that runs.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qapi::qmp::{RunState, cont, query_status};
use virtcontainers_hypervisor::{
    Error, ErrorKind, Handoffs, Launched, Machine, MachineExit, MachinePlan, NetworkDeviceHandoff,
};
use virtcontainers_process::Launcher;
use virtcontainers_types::UndoSink;

use crate::args::{self, Descriptors, NetworkDescriptors};
use crate::choice::{Choice, Vsock};
use crate::directory::{MachineDirectory, SocketFiles};
use crate::error::{of_exit, of_monitor, of_system};
use crate::machine::QemuMachine;
use crate::names::{CTL_SOCKET, MON_SOCKET, QEMU, VSOCK_HELPER};
use crate::program::{Programs, Setting};
use crate::qmp::{Failure, Monitor};
use crate::saved::Saved;
use crate::undo::Effect;
use crate::vsock;

/// What a dying QEMU gets to be seen dead after its monitor's connection has broken, so that the
/// error can hold its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A machine whose CPUs have not started. Dropping it kills and reaps its programs and removes its
/// sockets: fields are dropped in this order.
pub(crate) struct QemuLaunched {
    programs: Programs,
    sockets: SocketFiles,
    directory: Arc<MachineDirectory>,
    saved: Saved,
    boot_deadline: Duration,
}

/// Starts the helper and QEMU. Every effect is in `undo` before it happens.
pub(crate) async fn launch(
    plan: MachinePlan,
    handoffs: Handoffs,
    choice: Choice,
    undo: &dyn UndoSink,
) -> Result<QemuLaunched, Error> {
    let directory = open_directory(&plan)?;
    Effect::sockets(directory.path()).record(undo)?;
    let sockets = SocketFiles::new(Arc::clone(&directory));
    // Those of a machine of this sandbox that ended without its last steps.
    directory
        .remove_sockets()
        .map_err(|error| of_system("cannot remove old sockets", error))?;

    let setting = Setting {
        directory: directory.path(),
        nonce: &handoffs.nonce,
        die_with_launcher: handoffs.die_with_launcher,
    };
    let namespace = || clone_namespace(&handoffs);
    let (helper, vhost) = match &choice.vsock {
        Vsock::Vhost { cid } => (None, Some(vsock::open_vhost(*cid)?)),
        Vsock::VhostUser { helper } => {
            record_process(&setting, VSOCK_HELPER, undo)?;
            let deadline = plan.deadlines.boot;
            let helper = vsock::start_helper(helper, &setting, namespace()?, deadline).await?;
            (Some(helper), None)
        }
    };

    let mut launcher = Launcher::new(&choice.qemu);
    if let Some(namespace) = namespace()? {
        launcher = launcher.network_namespace(namespace);
    }
    let descriptors = Descriptors {
        ctl: launcher.pass(listen(&directory, CTL_SOCKET)?.into()),
        mon: launcher.pass(listen(&directory, MON_SOCKET)?.into()),
        console: handoffs.console.map(|console| launcher.pass(console)),
        vhost: vhost.map(|vhost| launcher.pass(vhost)),
        network: pass_network(&mut launcher, handoffs.network_devices),
    };
    let launcher = launcher.args(args::render(&plan, &choice, &descriptors));
    record_process(&setting, QEMU, undo)?;
    let qemu = setting.start(QEMU, launcher)?;

    let saved = Saved {
        directory: plan.directory.clone(),
        qemu: qemu.identity(),
        helper: helper.as_ref().map(crate::program::Program::identity),
        endpoint: choice.vsock.endpoint(&plan.directory),
        command_deadline: plan.deadlines.rpc,
    };
    Ok(QemuLaunched {
        programs: Programs { qemu, helper },
        sockets,
        directory,
        saved,
        boot_deadline: plan.deadlines.boot,
    })
}

fn pass_network(
    launcher: &mut Launcher,
    devices: Vec<NetworkDeviceHandoff>,
) -> Vec<NetworkDescriptors> {
    let mut pass = |all: Vec<OwnedFd>| all.into_iter().map(|one| launcher.pass(one)).collect();
    let devices = devices.into_iter();
    devices
        .map(|device| NetworkDescriptors {
            taps: pass(device.descriptors),
            vhost: pass(device.vhost),
        })
        .collect()
}

fn open_directory(plan: &MachinePlan) -> Result<Arc<MachineDirectory>, Error> {
    let path = &plan.directory;
    let opened = MachineDirectory::open(path).map_err(|error| {
        let message = format!("cannot open the machine's directory {}", path.display());
        of_system(message, error)
    });
    opened.map(Arc::new)
}

fn record_process(setting: &Setting<'_>, name: &str, undo: &dyn UndoSink) -> Result<(), Error> {
    let mark = setting.mark(name);
    Effect::Process { mark }.record(undo)
}

fn listen(directory: &MachineDirectory, name: &str) -> Result<UnixListener, Error> {
    directory
        .listen(name)
        .map_err(|error| of_system(format!("cannot listen on the socket {name}"), error))
}

fn clone_namespace(handoffs: &Handoffs) -> Result<Option<OwnedFd>, Error> {
    let namespace = handoffs.network_namespace.as_ref();
    namespace
        .map(|namespace| namespace.as_fd().try_clone_to_owned())
        .transpose()
        .map_err(|error| of_system("cannot duplicate a descriptor", error))
}

#[async_trait]
impl Launched for QemuLaunched {
    async fn start(self: Box<Self>) -> Result<Arc<dyn Machine>, Error> {
        let starting = start_cpus(&self.directory, self.boot_deadline);
        let started = tokio::select! {
            biased;
            started = starting => started,
            exit = self.programs.first_end() => return Err(of_exit("start the machine", &exit)),
        };
        match started {
            Ok(monitor) => Ok(Arc::new(self.into_machine(monitor))),
            Err(error) if error.kind() == ErrorKind::Gone => {
                let end = tokio::time::timeout(LAST_WORDS, self.programs.first_end());
                Err(end
                    .await
                    .map_or(error, |exit| of_exit("start the machine", &exit)))
            }
            Err(error) => Err(error),
        }
    }

    async fn exited(&self) -> MachineExit {
        self.programs.first_end().await
    }
}

impl QemuLaunched {
    fn into_machine(mut self, monitor: Monitor) -> QemuMachine {
        self.programs.keep();
        self.sockets.keep();
        QemuMachine::launched(self.programs, self.directory, self.saved, monitor)
    }
}

/// Greeting, command mode, status, go. QEMU listened before it was started, so there is no
/// connect loop; it answers when it has built the machine.
async fn start_cpus(directory: &MachineDirectory, deadline: Duration) -> Result<Monitor, Error> {
    let failed = |failure: Failure| of_monitor("cannot start the machine", failure);
    let connected = directory.connect(MON_SOCKET).await;
    let stream = connected.map_err(|error| {
        use std::io::ErrorKind::{ConnectionRefused, ConnectionReset};
        match matches!(error.kind(), ConnectionRefused | ConnectionReset) {
            true => Error::new(ErrorKind::Gone, "qemu has closed its monitor").with_source(error),
            false => of_system("cannot connect to qemu", error),
        }
    })?;
    let negotiated = Monitor::negotiate(stream, MON_SOCKET, deadline).await;
    let monitor = negotiated.map_err(failed)?;
    let status = monitor
        .execute(query_status {}, deadline)
        .await
        .map_err(failed)?;
    if status.status != RunState::prelaunch {
        let message = format!("qemu is in state {:?} before its start", status.status);
        return Err(Error::new(ErrorKind::Internal, message));
    }
    monitor.execute(cont {}, deadline).await.map_err(failed)?;
    Ok(monitor)
}

impl fmt::Debug for QemuLaunched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QemuLaunched")
            .field("saved", &self.saved)
            .finish_non_exhaustive()
    }
}
