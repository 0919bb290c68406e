//! A runtime with nothing below it but the file store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use virtcontainers::oci::{CommandLine, container_spec};
use virtcontainers::{CreateOptions, Runtime, RuntimeOptions, Sandbox};
use virtcontainers_testkit::agent::DirectAgent;
use virtcontainers_testkit::hypervisor::FakeBackend;
use virtcontainers_testkit::sample;
use virtcontainers_types::{Capabilities, ContainerConfig, ContainerId, RootFs, SandboxConfig};

pub(crate) struct Rig {
    pub(crate) runtime: Runtime,
    directory: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn new() -> Result<Self> {
        let directory = tempfile::tempdir_in("/dev/shm")?;
        Ok(Self {
            runtime: Self::runtime(directory.path().join("state"))?,
            directory,
        })
    }

    /// Where its state is.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// A runtime over some state.
    pub(crate) fn runtime(root: impl Into<PathBuf>) -> Result<Runtime> {
        let options = RuntimeOptions {
            agents: Arc::new(DirectAgent::default()),
            ..RuntimeOptions::new(root)
        };
        let backend = FakeBackend::with_own_agents().with_capabilities(Capabilities {
            pause: true,
            adopt: true,
            ..Capabilities::default()
        });
        Ok(Runtime::new(options, Arc::new(backend))?)
    }

    /// A sandbox of this many containers.
    pub(crate) async fn create(&self, name: &str, containers: usize) -> Result<Sandbox> {
        let config = config(name, containers)?;
        let options = CreateOptions::default();
        Ok(self.runtime.create_sandbox(config, options).await?)
    }
}

fn config(name: &str, containers: usize) -> Result<SandboxConfig> {
    let ids = (1..containers).map(|number| ContainerId::new(format!("{name}-{number}")));
    let first = ContainerId::new(name)?;
    let further = ids.collect::<Result<Vec<_>, _>>()?;
    let all = std::iter::once(&first).chain(&further);
    Ok(sample::sandbox(
        first.clone().into(),
        all.map(container).collect(),
    ))
}

/// A container whose root file system is the guest's.
pub(crate) fn container(id: &ContainerId) -> ContainerConfig {
    let command = CommandLine {
        args: vec!["sleep".to_owned(), "1000".to_owned()],
        ..CommandLine::default()
    };
    ContainerConfig {
        id: id.clone(),
        rootfs: RootFs::Guest { guest: "/".into() },
        bundle: None,
        cgroup: None,
        spec: container_spec(&command, Path::new("/"), &[]),
    }
}
