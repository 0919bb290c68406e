//! The backends that there are, and the default wiring. The only place that names a backend.

use std::collections::BTreeMap;
use std::sync::Arc;

use virtcontainers_qemu::QemuBackend;
use virtcontainers_runtime::{ErrorKind, Runtime, RuntimeOptions, Supervision};
use virtcontainers_share::DaemonConfig;
use virtcontainers_types::{
    AgentConfig, BootConfig, ContainerConfig, Lifetime, NetworkConfig, SandboxConfig,
};

use crate::config::{Config, GuestAssets};
use crate::{Error, supervisor};

/// A runtime as `config` describes it. Sandboxes are supervised by processes of this program: call
/// [`run_if_supervisor`](crate::run_if_supervisor) first in `main`.
///
/// Errors: `NotFound` for an unknown backend; `Denied` without root privileges.
pub fn runtime(config: &Config) -> Result<Runtime, Error> {
    let options = RuntimeOptions {
        root: config.runtime.root.clone(),
        deadline_factor: config.runtime.deadline_factor,
        share: daemon(config),
        supervision: Supervision::Process(supervisor::program(config)?),
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
/// `config` describes.
///
/// Errors: `NotFound` when there is no guest kernel or initrd, saying how to get one.
pub fn sandbox_config(config: &Config, container: ContainerConfig) -> Result<SandboxConfig, Error> {
    let assets = GuestAssets::find(config)?;
    let section = &config.hypervisor.qemu;
    Ok(SandboxConfig {
        id: container.id.clone().into(),
        hostname: container.spec.hostname().clone(),
        memory: section.memory,
        vcpus: section.vcpus,
        boot: BootConfig {
            kernel: assets.kernel,
            root: assets.root,
            kernel_params: Vec::new(),
        },
        agent: AgentConfig {
            start: assets.agent_start,
        },
        network: NetworkConfig::default(),
        lifetime: Lifetime::FirstContainer,
        containers: vec![container],
        annotations: BTreeMap::new(),
    })
}
