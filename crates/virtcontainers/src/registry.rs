//! The backends that there are, and the default wiring. The only place that names a backend.

use std::sync::Arc;

use virtcontainers_qemu::QemuBackend;
use virtcontainers_runtime::{ErrorKind, Runtime, RuntimeOptions, Supervision};
use virtcontainers_share::DaemonConfig;
use virtcontainers_types::{AgentConfig, ContainerConfig, Lifetime, NetworkConfig, SandboxConfig};

use crate::config::Config;
use crate::{Error, annotations, supervisor, verified};

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
    let guest = annotations::guest(config, &annotations, verified::folder().as_deref())?;
    Ok(SandboxConfig {
        id: container.id.clone().into(),
        hostname: container.spec.hostname().clone(),
        memory: guest.memory,
        vcpus: guest.vcpus,
        boot: guest.boot,
        agent: AgentConfig {
            start: guest.assets.agent_start,
        },
        network: NetworkConfig::default(),
        lifetime: Lifetime::FirstContainer,
        containers: vec![container],
        annotations,
    })
}
