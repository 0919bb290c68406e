//! The container that a command names, and the sandbox that it is in.

use anyhow::anyhow;
use virtcontainers::oci::State;
use virtcontainers::types::{
    ContainerConfig, ContainerId, ContainerStatus, SandboxId, SandboxStatus,
};
use virtcontainers::{ErrorKind, Runtime};

use crate::args::Global;
use crate::commands::runtime;

/// A container that exists.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) runtime: Runtime,
    pub(super) sandbox: SandboxStatus,
    pub(super) container: ContainerStatus,
    /// What the specification says of it.
    pub(super) state: State,
}

impl Found {
    /// Looks a container up. The error for one that does not exist says so in the words that container
    /// managers look for.
    pub(super) async fn of(global: &Global, id: &ContainerId) -> anyhow::Result<Self> {
        let (_, runtime) = runtime(global)?;
        Self::maybe(runtime, id).await?.ok_or_else(|| missing(id))
    }

    /// As [`of`](Self::of); `None` for one that does not exist.
    pub(super) async fn maybe(runtime: Runtime, id: &ContainerId) -> anyhow::Result<Option<Self>> {
        let found = async {
            let sandbox = runtime.sandbox_of(id).await?;
            runtime.status_sandbox(&sandbox).await
        };
        let sandbox = match found.await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let mut known = sandbox.containers.iter();
        let container = known.find(|known| known.id == *id).cloned();
        let found = container.zip(State::of_container(&sandbox, id));
        Ok(found.map(|(container, state)| Self {
            runtime,
            sandbox,
            container,
            state,
        }))
    }

    pub(super) fn id(&self) -> &ContainerId {
        &self.container.id
    }

    pub(super) fn sandbox_id(&self) -> &SandboxId {
        &self.sandbox.id
    }

    /// The container that the sandbox was made with: deleting it deletes the sandbox.
    pub(super) fn is_first(&self) -> bool {
        let first = self.sandbox.containers.first();
        first.is_some_and(|first| first.id == self.container.id)
    }

    /// What the container is doing, in the words of the specification.
    pub(super) fn status(&self) -> &'static str {
        self.state.status
    }

    /// The process that stands for the container; 0 when it has ended, as runc writes it.
    pub(super) fn pid(&self) -> u32 {
        self.state.pid.unwrap_or(0)
    }

    /// What the container was made from.
    pub(super) async fn config(&self) -> anyhow::Result<ContainerConfig> {
        let sandbox = self.runtime.fetch_sandbox(self.sandbox_id()).await?;
        let config = sandbox.config().await?;
        let mut known = config.containers.into_iter();
        known
            .find(|known| known.id == self.container.id)
            .ok_or_else(|| missing(&self.container.id))
    }
}

/// Managers look for "does not exist".
pub(super) fn missing(id: &ContainerId) -> anyhow::Error {
    anyhow!("container {id} does not exist: `vc list` shows those that do")
}
