//! What sandboxes and containers are doing. Reading waits for nobody.

use std::sync::Arc;

use tracing::instrument;
use virtcontainers_store::{LeaseMode, Summary};
use virtcontainers_types::{
    ContainerId, ContainerState, ContainerStatus, ProcessIdentity, SandboxId, SandboxState,
    SandboxStatus,
};

use crate::error::{Context, Error, ErrorKind};
use crate::runtime::{Runtime, blocking};
use crate::sandbox::Sandbox;

/// One entry of a list of sandboxes.
#[derive(Debug)]
pub struct Listed {
    /// The sandbox; absent for something that does not belong in the state root.
    pub id: Option<SandboxId>,
    /// What it is doing, or why that cannot be told.
    pub status: Result<SandboxStatus, Error>,
}

impl Runtime {
    /// A handle on a sandbox that exists.
    ///
    /// Errors: `NotFound`; `Corrupt` and `Incompatible` when its record cannot be read; `Timeout`
    /// naming who has it for itself.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn fetch_sandbox(&self, id: &SandboxId) -> Result<Sandbox, Error> {
        let mut lease = self.lease(id, LeaseMode::Shared, "fetch").await?;
        if self.is_orphan(lease.record()) {
            drop(lease);
            lease = self.recovered("fetch", id).await?;
        }
        Ok(Sandbox::new(self, lease.record()))
    }

    /// What a sandbox is doing. One whose supervisor died is cleaned up first, and then `failed`.
    ///
    /// Errors: `NotFound`; `Corrupt` and `Incompatible` when its record cannot be read. Safe to
    /// drop.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn status_sandbox(&self, id: &SandboxId) -> Result<SandboxStatus, Error> {
        Ok(shown(self.peek(id).await?.into_status()))
    }

    /// What a sandbox is doing whose supervisor has ended. Somebody who stops it may have yet to store
    /// that: they are waited for.
    pub(crate) async fn status_after_end(&self, id: &SandboxId) -> Result<SandboxStatus, Error> {
        let status = self.status_sandbox(id).await?;
        if !status.state.is_live() {
            return Ok(status);
        }
        drop(self.lease(id, LeaseMode::Shared, "monitor").await?);
        self.status_sandbox(id).await
    }

    /// What a container is doing; `None` when the sandbox has no such container.
    ///
    /// Errors: as [`status_sandbox`](Self::status_sandbox). Safe to drop.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn status_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<Option<ContainerStatus>, Error> {
        let status = self.status_sandbox(id).await?;
        let mut containers = status.containers.into_iter();
        Ok(containers.find(|known| known.id == *container))
    }

    /// The sandbox that a container is in: the one of its id, else another that has it. Safe to drop.
    ///
    /// Errors: `NotFound`; `Corrupt` and `Incompatible` when the record of the sandbox of this id
    /// cannot be read.
    #[instrument(skip_all, fields(subsystem = "container", container = %container))]
    pub async fn sandbox_of(&self, container: &ContainerId) -> Result<SandboxId, Error> {
        let own = SandboxId::from(container.clone());
        match self.peek(&own).await {
            Ok(summary) if has(&summary.containers, container) => return Ok(own),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let found = self
            .find(|status| has(&status.containers, container))
            .await?;
        found.ok_or_else(|| {
            let message = format!("there is no container {container}");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// The sandbox that a process of the host stands for: its supervisor, or the stand-in of one of
    /// its containers. `None` when there is none. Safe to drop.
    ///
    /// Errors: `Internal` when the state root cannot be read.
    #[instrument(skip_all, fields(subsystem = "sandbox", pid))]
    pub async fn sandbox_of_process(&self, pid: u32) -> Result<Option<SandboxId>, Error> {
        let is_it = |process: &ProcessIdentity| process.pid == pid;
        self.find(|status| {
            let mut others = status
                .containers
                .iter()
                .filter_map(|one| one.stand_in.as_ref());
            status.supervisor.as_ref().is_some_and(is_it) || others.any(is_it)
        })
        .await
    }

    /// The first sandbox whose status is as wanted. Those that cannot be read are passed over.
    async fn find(
        &self,
        is_it: impl Fn(&SandboxStatus) -> bool,
    ) -> Result<Option<SandboxId>, Error> {
        let listed = self.list_sandboxes().await?;
        let mut readable = listed.into_iter().filter_map(|listed| listed.status.ok());
        Ok(readable.find(is_it).map(|status| status.id))
    }

    /// All sandboxes, each with its status or with why that cannot be told. Safe to drop.
    ///
    /// Errors: `Internal` when the state root cannot be read.
    #[instrument(skip_all, fields(subsystem = "sandbox"))]
    pub async fn list_sandboxes(&self) -> Result<Vec<Listed>, Error> {
        let store = Arc::clone(&self.host.store);
        let peeked = blocking(move || {
            let listed = store
                .list()
                .during(|| "cannot list the sandboxes".to_owned())?;
            let peek = |entry: Result<SandboxId, _>| {
                entry.map(|id| {
                    let summary = store.peek(&id);
                    (id, summary)
                })
            };
            Ok(listed.into_iter().map(peek).collect::<Vec<_>>())
        })
        .await?;
        let mut all = Vec::with_capacity(peeked.len());
        for entry in peeked {
            let (id, status) = match entry {
                Ok((id, Ok(summary))) if self.looks_orphaned(&summary) => {
                    let status = self.status_sandbox(&id).await;
                    (Some(id), status)
                }
                Ok((id, Ok(summary))) => (Some(id), Ok(shown(summary.into_status()))),
                Ok((id, Err(error))) => {
                    let message = format!("cannot read sandbox {id}");
                    let error = Error::new(error.kind(), message).because(error).of(&id);
                    (Some(id), Err(error))
                }
                Err(error) => {
                    let message = "an entry of the state root";
                    (None, Err(Error::new(error.kind(), message).because(error)))
                }
            };
            // It was deleted while we looked, or was never completed.
            let gone = |error: &Error| error.kind() == ErrorKind::NotFound;
            if !status.as_ref().is_err_and(gone) {
                all.push(Listed { id, status });
            }
        }
        Ok(all)
    }

    /// The summary of a sandbox that is no orphan, without a lock.
    pub(crate) async fn peek(&self, id: &SandboxId) -> Result<Summary, Error> {
        // In place: it is one short read.
        let peek = || {
            let peeked = self.host.store.peek(id);
            peeked
                .during(|| format!("cannot find sandbox {id}"))
                .map_err(|error| error.of(id))
        };
        let summary = peek()?;
        if !self.looks_orphaned(&summary) {
            return Ok(summary);
        }
        self.recover_orphan(id).await?;
        peek()
    }
}

fn has(containers: &[ContainerStatus], wanted: &ContainerId) -> bool {
    containers.iter().any(|known| known.id == *wanted)
}

/// While its machine is paused, no container runs.
pub(crate) fn shown(mut status: SandboxStatus) -> SandboxStatus {
    if status.state == SandboxState::Paused {
        for container in &mut status.containers {
            if container.state == ContainerState::Running {
                container.state = ContainerState::Paused;
            }
        }
    }
    status
}
