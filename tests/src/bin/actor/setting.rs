//! Where and how an actor works, and the sandbox that it acts on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use virtcontainers::oci::{CommandLine, container_spec};
use virtcontainers::types::{
    Capabilities, ContainerConfig, ContainerId, NetworkConfig, RootFs, SandboxConfig, SandboxId,
};
use virtcontainers::{RuntimeOptions, Supervision, SupervisorProgram};
use virtcontainers_testkit::hypervisor::{ProcessBackend, REPORTS_VARIABLE};
use virtcontainers_testkit::sample;

use crate::{STAND_IN, SUPERVISE};

/// What all actors on one sandbox agree on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// The state root.
    pub(crate) root: PathBuf,
    /// The sandbox.
    pub(crate) id: SandboxId,
    /// Where the history is written.
    #[serde(default)]
    pub(crate) journal: Option<PathBuf>,
    /// Where machines report what was done against their agent's rules.
    pub(crate) reports: PathBuf,
    /// The root file system of containers. With it the sandbox has a shared directory with a daemon,
    /// and a network namespace of its own; without it, nothing but processes and files.
    #[serde(default)]
    pub(crate) rootfs: Option<PathBuf>,
    /// Every deadline is multiplied by this.
    pub(crate) patience: f64,
}

impl Setting {
    pub(crate) fn backend(&self) -> Result<ProcessBackend> {
        let capabilities = Capabilities {
            filesystem_sharing: self.rootfs.is_some(),
            pause: true,
            adopt: true,
            ..Capabilities::default()
        };
        let program = std::env::current_exe()?;
        Ok(ProcessBackend::new(program).with_capabilities(capabilities))
    }

    /// Sandboxes are supervised by processes of this program.
    pub(crate) fn options(&self) -> Result<RuntimeOptions> {
        let env = (
            OsString::from(REPORTS_VARIABLE),
            self.reports.clone().into(),
        );
        let program = SupervisorProgram {
            program: std::env::current_exe()?,
            args: vec![SUPERVISE.into()],
            stand_in: vec![STAND_IN.into()],
            env: vec![env],
            preamble: serde_json::to_value(self)?,
        };
        Ok(RuntimeOptions {
            deadline_factor: self.patience,
            supervision: Supervision::Process(program),
            ..RuntimeOptions::new(&self.root)
        })
    }

    pub(crate) fn sandbox(&self, annotations: BTreeMap<String, String>) -> Result<SandboxConfig> {
        let first = ContainerId::new(self.id.as_str())?;
        Ok(SandboxConfig {
            network: NetworkConfig {
                disabled: self.rootfs.is_none(),
                ..NetworkConfig::default()
            },
            annotations,
            ..sample::sandbox(self.id.clone(), vec![self.container(&first)])
        })
    }

    /// A container whose program runs until it is killed.
    pub(crate) fn container(&self, id: &ContainerId) -> ContainerConfig {
        let command = CommandLine {
            args: vec!["block".to_owned()],
            ..CommandLine::default()
        };
        let rootfs = match &self.rootfs {
            Some(rootfs) => rootfs.clone().into(),
            None => RootFs::Guest { guest: "/".into() },
        };
        ContainerConfig {
            id: id.clone(),
            spec: container_spec(&command, Path::new("/"), &[]),
            rootfs,
            bundle: None,
            cgroup: None,
        }
    }

    /// The store of the runtime, with or without a history.
    pub(crate) fn store(&self) -> Result<virtcontainers_store::FileStore> {
        let boot = virtcontainers_store::BootId::current()?;
        Ok(virtcontainers_store::FileStore::new(&self.root, boot))
    }

    pub(crate) fn shared_backend(&self) -> Result<Arc<ProcessBackend>> {
        Ok(Arc::new(self.backend()?))
    }
}
