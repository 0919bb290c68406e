//! Freezing the processes of one container, and thawing them.

use tracing::instrument;
use virtcontainers_types::{ContainerId, ContainerState, ContainerStatus, Operation, SandboxId};

use crate::error::{Context, Error};
use crate::intent::{self, Intent};
use crate::runtime::Runtime;

impl Runtime {
    /// Freezes all processes of a running container.
    ///
    /// Errors: `NotFound`; `WrongState`; `Gone`; what the guest says. Dropping the future leaves a
    /// pause that the next operation takes back.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn pause_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<ContainerStatus, Error> {
        self.turn(Operation::PauseContainer, id, container).await
    }

    /// Thaws a paused container. Errors and dropping: as [`pause_container`](Self::pause_container).
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn resume_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<ContainerStatus, Error> {
        self.turn(Operation::ResumeContainer, id, container).await
    }

    async fn turn(
        &self,
        operation: Operation,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<ContainerStatus, Error> {
        let mut lease = self.exclusive(operation, id, Some(container)).await?;
        let agent = self.connect_agent(lease.record()).await?;
        let freeze = operation == Operation::PauseContainer;
        let intent = match freeze {
            true => Intent::PauseContainer(container.clone()),
            false => Intent::ResumeContainer(container.clone()),
        };
        let settled = intent::enter(&lease.ledger(), lease.record(), [intent])?;
        let (turned, state) = match freeze {
            true => (
                agent.pause_container(container).await,
                ContainerState::Paused,
            ),
            false => (
                agent.resume_container(container).await,
                ContainerState::Running,
            ),
        };
        turned.during(|| format!("{operation} failed in the guest for {container}"))?;
        let mut record = lease.record().clone();
        record.settled = settled;
        let status = super::container::set_state(&mut record, container, state)?;
        Self::commit(&mut lease, record)?;
        Ok(status)
    }
}
