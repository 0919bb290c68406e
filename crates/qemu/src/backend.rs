//! The backend: what was configured and found, behind the port.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use virtcontainers_hypervisor::{
    Backend, Error, ErrorKind, Handoffs, Launched, Machine, MachinePlan, SavedMachine,
};
use virtcontainers_process::{Search, find_program};
use virtcontainers_types::{AgentEndpoint, Capabilities, GuestRoot, UndoEntry, UndoSink};

use crate::check;
use crate::choice::{Choice, Vsock};
use crate::config::QemuConfig;
use crate::directory::MachineDirectory;
use crate::error::{of_process, of_system};
use crate::host::{self, Accelerator, HostSupport, Support, VsockTransport};
use crate::kernel_line;
use crate::launch::launch;
use crate::machine::QemuMachine;
use crate::names::{QEMU, VSOCK_HELPER};
use crate::program::{Program, Programs};
use crate::saved::Saved;
use crate::undo::{Effect, OWNER};
use crate::vsock::context_id;

/// Machines by QEMU.
#[derive(Debug)]
pub struct QemuBackend {
    config: QemuConfig,
    host: OnceLock<HostSupport>,
}

impl QemuBackend {
    /// A backend of this configuration. Nothing is looked at before it is needed; what is missing
    /// shows in [`check`](Backend::check).
    pub const fn new(config: QemuConfig) -> Self {
        let host = OnceLock::new();
        Self { config, host }
    }

    /// What this host offers, looked at once.
    pub fn host(&self) -> &HostSupport {
        self.host.get_or_init(|| {
            let host = host::probe();
            if let (Support::Unusable(reason), Ok(Accelerator::Tcg)) =
                (&host.kvm, host.accelerator(self.config.accelerator))
            {
                tracing::info!("guests are emulated: {reason}");
            }
            host
        })
    }

    /// Where QEMU is.
    ///
    /// Errors: `NotFound` with the places that were looked at and the package to install;
    /// `Denied`, `Invalid` for a configured path that cannot be used.
    pub fn qemu_path(&self) -> Result<PathBuf, Error> {
        self.find_qemu(self.config.path.as_deref())
    }

    fn find_qemu(&self, named: Option<&Path>) -> Result<PathBuf, Error> {
        let names = [
            "qemu-system-x86_64",
            "/usr/libexec/qemu-kvm",
            "/usr/bin/qemu-kvm",
        ];
        let search = Search {
            program: QEMU,
            configured: named,
            candidates: names.map(PathBuf::from).to_vec(),
            remedy: "install the Debian package qemu-system-x86, or run `cargo xtask setup`",
        };
        find(&search)
    }

    /// Where the vsock helper is.
    ///
    /// Errors: as [`qemu_path`](Self::qemu_path).
    pub fn vsock_helper_path(&self) -> Result<PathBuf, Error> {
        let search = Search {
            program: VSOCK_HELPER,
            configured: self.config.vsock_helper.as_deref(),
            candidates: helper_places(),
            remedy: "run `cargo xtask setup`, or `cargo install vhost-device-vsock`",
        };
        find(&search)
    }

    /// Whether machines need the vsock helper on this host.
    ///
    /// Errors: `Unsupported` when the configured transport is not there.
    pub fn needs_vsock_helper(&self) -> Result<bool, Error> {
        Ok(self.transport()? == VsockTransport::VhostUser)
    }

    fn accelerator(&self) -> Result<Accelerator, Error> {
        let choice = self.host().accelerator(self.config.accelerator);
        choice.map_err(|reason| Error::new(ErrorKind::Unsupported, reason))
    }

    fn transport(&self) -> Result<VsockTransport, Error> {
        let choice = self.host().vsock(self.config.vsock);
        choice.map_err(|reason| Error::new(ErrorKind::Unsupported, reason))
    }

    /// Finds and decides all that a launch needs; refuses what cannot work. No effect.
    fn choose(&self, plan: &MachinePlan) -> Result<Choice, Error> {
        let accelerator = self.accelerator()?;
        let vsock = match self.transport()? {
            VsockTransport::Vhost => Vsock::Vhost {
                cid: context_id(&plan.id),
            },
            VsockTransport::VhostUser => Vsock::VhostUser {
                helper: self.vsock_helper_path()?,
            },
        };
        let named = plan.boot.hypervisor.program.as_deref();
        let choice = Choice {
            qemu: self.find_qemu(named.or(self.config.path.as_deref()))?,
            accelerator,
            kernel: absolute(&plan.boot.kernel)?,
            root: match &plan.boot.root {
                GuestRoot::Initrd(path) => GuestRoot::Initrd(absolute(path)?),
                GuestRoot::Image(path) => GuestRoot::Image(absolute(path)?),
            },
            kernel_line: kernel_line::render(plan, &self.config.kernel_params, &vsock),
            vsock,
        };
        check::sizes(plan, self.host())?;
        check::kernel(&choice.kernel)?;
        check::root(&choice.root)?;
        check::kernel_line(&choice.kernel_line)?;
        plan.share.as_ref().map_or(Ok(()), check::share)?;
        plan.check_network_devices(check::MOST_NETWORK_DEVICES)?;
        check::network_devices(&plan.network_devices)?;
        Ok(choice)
    }
}

#[async_trait]
impl Backend for QemuBackend {
    fn name(&self) -> &'static str {
        OWNER
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            filesystem_sharing: true,
            pause: true,
            adopt: true,
            block_hotplug: false,
            network_devices: check::MOST_NETWORK_DEVICES,
            network_hotplug: true,
            own_program: true,
        }
    }

    fn is_accelerated(&self) -> bool {
        matches!(self.accelerator(), Ok(Accelerator::Kvm))
    }

    fn check(&self, plan: &MachinePlan) -> Result<(), Error> {
        self.choose(plan).map(drop)
    }

    fn agent_endpoint(&self, plan: &MachinePlan) -> Result<AgentEndpoint, Error> {
        let vsock = match self.transport()? {
            VsockTransport::Vhost => Vsock::Vhost {
                cid: context_id(&plan.id),
            },
            VsockTransport::VhostUser => Vsock::VhostUser {
                helper: PathBuf::new(),
            },
        };
        Ok(vsock.endpoint(&plan.directory))
    }

    async fn launch(
        &self,
        plan: MachinePlan,
        handoffs: Handoffs,
        undo: &dyn UndoSink,
    ) -> Result<Box<dyn Launched>, Error> {
        if handoffs.nonce.is_empty() {
            let message = "cannot launch a machine without a nonce: its processes could not be \
                           found again";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let choice = self.choose(&plan)?;
        handoffs.check_network_devices(&plan)?;
        let launched = launch(plan, handoffs, choice, undo).await?;
        Ok(Box::new(launched))
    }

    async fn adopt(&self, saved: &SavedMachine) -> Result<Arc<dyn Machine>, Error> {
        let saved = Saved::from_port(saved)?;
        let qemu = Program::adopt(QEMU, saved.qemu)?;
        if qemu.was_gone() {
            let message = format!("the machine has ended: {QEMU} does not live any more");
            return Err(Error::new(ErrorKind::Gone, message));
        }
        let helper = saved
            .helper
            .map(|helper| Program::adopt(VSOCK_HELPER, helper))
            .transpose()?;
        let directory = MachineDirectory::open(&saved.directory).map_err(|error| {
            let path = saved.directory.display();
            of_system(format!("cannot open the machine's directory {path}"), error)
        })?;
        let programs = Programs { qemu, helper };
        let machine = QemuMachine::adopted(programs, Arc::new(directory), saved);
        Ok(Arc::new(machine))
    }

    fn undo(&self, entry: &UndoEntry) -> Result<(), Error> {
        Effect::of(entry)?.undo()
    }
}

fn find(search: &Search<'_>) -> Result<PathBuf, Error> {
    find_program(search)
        .map_err(|error| of_process(format!("cannot use {}", search.program), error))
}

/// Beside our own program, where packages put it, in `PATH`, and where `cargo xtask setup` does.
fn helper_places() -> Vec<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| program.parent().map(|folder| folder.join(VSOCK_HELPER)));
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let packaged = Path::new("/usr/libexec/virtcontainers").join(VSOCK_HELPER);
    let cached = cache.map(|cache| cache.join("virtcontainers/bin").join(VSOCK_HELPER));
    let places = [beside, Some(packaged), Some(VSOCK_HELPER.into()), cached];
    places.into_iter().flatten().collect()
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path)
        .map_err(|error| of_system(format!("cannot use the path {}", path.display()), error))
}
