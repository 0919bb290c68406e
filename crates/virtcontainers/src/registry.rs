//! The backends that there are, and the default wiring. The only place that names a backend.

use std::path::PathBuf;
use std::sync::Arc;

use virtcontainers_qemu::{AcceleratorChoice, QemuBackend, Support};
use virtcontainers_runtime::{ErrorKind, Runtime, RuntimeOptions, Supervision};
use virtcontainers_share::DaemonConfig;
use virtcontainers_types::{AgentConfig, Capabilities, ContainerConfig, Lifetime, SandboxConfig};

use crate::check::{self, Item};
use crate::config::Config;
use crate::environment::HypervisorFacts;
use crate::{Error, annotations, console, supervisor, verified, version};

/// A runtime as `config` describes it. Sandboxes are supervised by processes of this program: call
/// [`run_if_supervisor`](crate::run_if_supervisor) first in `main`.
///
/// Errors: `NotFound` for an unknown backend; `Denied` without root privileges.
pub fn runtime(config: &Config) -> Result<Runtime, Error> {
    let options = RuntimeOptions {
        deadline_factor: config.runtime.deadline_factor,
        share: daemon(config),
        supervision: Supervision::Process(supervisor::program(config)?),
        ..RuntimeOptions::new(&config.runtime.root)
    };
    Ok(Runtime::new(options, backend(config)?)?)
}

pub(crate) fn daemon(config: &Config) -> DaemonConfig {
    let path = &config.hypervisor.qemu.virtiofsd;
    DaemonConfig {
        path: Some(path.clone()).filter(|path| !path.as_os_str().is_empty()),
        ..DaemonConfig::default()
    }
}

fn backend(config: &Config) -> Result<Arc<dyn virtcontainers_hypervisor::Backend>, Error> {
    match config.runtime.hypervisor.as_str() {
        "qemu" => Ok(Arc::new(QemuBackend::new(
            config.hypervisor.qemu.machine.clone(),
        ))),
        other => {
            let message =
                format!("there is no hypervisor {other:?}: set runtime.hypervisor to \"qemu\"");
            Err(Error::new(ErrorKind::NotFound, message))
        }
    }
}

/// What the configured backend can do.
///
/// Errors: `NotFound` for an unknown backend.
pub(crate) fn capabilities(config: &Config) -> Result<Capabilities, Error> {
    backend(config).map(|backend| backend.capabilities())
}

/// What the configured backend needs on this host, looked at without changing anything.
pub(crate) fn host(config: &Config) -> Vec<Item> {
    match config.runtime.hypervisor.as_str() {
        "qemu" => qemu_host(config),
        _ => vec![check::required(
            "hypervisor",
            backend(config).map(|backend| backend.name().to_owned()),
        )],
    }
}

fn qemu_host(config: &Config) -> Vec<Item> {
    let lack = |support: &Support| match support {
        Support::Usable => None,
        Support::Unusable(reason) => Some(reason.clone()),
    };
    let path = |found: Result<PathBuf, virtcontainers_hypervisor::Error>| {
        found.map(|path| path.display().to_string())
    };
    let backend = QemuBackend::new(config.hypervisor.qemu.machine.clone());
    let host = backend.host();
    let helper = match backend.needs_vsock_helper() {
        Ok(false) => check::ok("vsock-helper", "not needed".to_owned()),
        Ok(true) => check::required("vsock-helper", path(backend.vsock_helper_path())),
        Err(error) => check::required("vsock-helper", Err(error)),
    };
    vec![
        check::required("qemu", path(backend.qemu_path())),
        check::optional(
            "kvm",
            lack(&host.kvm).as_deref(),
            "guests are emulated, which is slower",
        ),
        check::optional(
            "vhost-vsock",
            lack(&host.vhost_vsock).as_deref(),
            "`modprobe vhost_vsock` where the kernel has it; else a helper program is used",
        ),
        helper,
    ]
}

/// What the configured backend is and uses. What cannot be told is a note.
pub(crate) fn facts(config: &Config, notes: &mut Vec<String>) -> HypervisorFacts {
    let mut told = |found: Result<PathBuf, String>| found.map_err(|why| notes.push(why)).ok();
    let virtiofsd = told(daemon(config).find().map_err(|error| error.to_string()));
    let facts = match config.runtime.hypervisor.as_str() {
        "qemu" => qemu_facts(config, notes),
        _ => HypervisorFacts::default(),
    };
    HypervisorFacts {
        name: config.runtime.hypervisor.clone(),
        virtiofsd,
        ..facts
    }
}

fn qemu_facts(config: &Config, notes: &mut Vec<String>) -> HypervisorFacts {
    let machine = &config.hypervisor.qemu.machine;
    let backend = QemuBackend::new(machine.clone());
    let kvm = &backend.host().kvm;
    let (accelerator, reason) = match (machine.accelerator, kvm) {
        (AcceleratorChoice::Tcg, _) => (Some("tcg"), "it is configured".to_owned()),
        (_, Support::Usable) => (Some("kvm"), "this host can".to_owned()),
        (AcceleratorChoice::Auto, Support::Unusable(why)) => (Some("tcg"), why.clone()),
        (AcceleratorChoice::Kvm, Support::Unusable(why)) => (None, why.clone()),
    };
    let mut told = |error: virtcontainers_hypervisor::Error| notes.push(error.to_string());
    let path = backend.qemu_path().map_err(&mut told).ok();
    let needs_helper = backend.needs_vsock_helper().map_err(&mut told).ok();
    let helper = needs_helper.filter(|needed| *needed).and_then(|_| {
        let found = backend.vsock_helper_path();
        found.map_err(&mut told).ok()
    });
    HypervisorFacts {
        version: path.as_deref().and_then(version::of),
        path,
        accelerator: accelerator.map(str::to_owned),
        accelerator_reason: Some(reason),
        vsock: needs_helper.map(|helper| if helper { "vhost-user" } else { "vhost" }.to_owned()),
        vsock_helper: helper,
        ..HypervisorFacts::default()
    }
}

/// The configuration of a sandbox with one container, which it ends with, in the guest that
/// `config` and the container's annotations describe. Files that annotations name with a digest are
/// checked and copied here: what is checked is what boots.
///
/// Errors: `NotFound` when there is no guest kernel or initrd, saying how to get one; `Denied` for an
/// annotation that `[runtime]` does not allow, with the line to add, and for a file whose digest is
/// another; `Invalid` for an annotation that cannot be understood; `Unsupported` for one that cannot
/// be followed.
pub fn sandbox_config(config: &Config, container: ContainerConfig) -> Result<SandboxConfig, Error> {
    let annotations = annotations::of(&container);
    let mut guest = annotations::guest(config, &annotations, verified::folder().as_deref())?;
    // First: what a container brings comes later and wins.
    let words = console::kernel_words(config);
    guest.boot.kernel_params.splice(0..0, words);
    Ok(SandboxConfig {
        id: container.id.clone().into(),
        hostname: container.spec.hostname().clone(),
        memory: guest.memory,
        vcpus: guest.vcpus,
        boot: guest.boot,
        agent: AgentConfig {
            start: guest.assets.agent_start,
        },
        network: guest.network,
        lifetime: Lifetime::FirstContainer,
        containers: vec![container],
        annotations,
    })
}
