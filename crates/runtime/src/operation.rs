//! The operations, each of which stands alone: it takes the sandbox's lease, loads it, acts, stores
//! and releases.

mod annotate;
mod container;
mod create;
mod freeze;
mod guest;
mod hooked;
mod interface;
mod limits;
mod network;
mod pause;
mod query;
mod start;
mod stats;
mod stop;

use virtcontainers_store::{Lease, LeaseMode, Record};
use virtcontainers_types::{
    ContainerId, ContainerState, Operation, SandboxId, SandboxState, check,
};

pub use query::Listed;

use crate::error::{Context, Error, ErrorKind};
use crate::runtime::Runtime;

impl Runtime {
    /// A sandbox for this operation alone: recovered, settled, and in a state that allows it.
    pub(crate) async fn exclusive(
        &self,
        operation: Operation,
        id: &SandboxId,
        container: Option<&ContainerId>,
    ) -> Result<Lease, Error> {
        let lease = self.settled(operation.name(), id).await?;
        allow(operation, lease.record(), container)?;
        Ok(lease)
    }

    /// The record of a sandbox that is recovered, settled, and in a state that allows the operation.
    /// The lease on it is released.
    pub(crate) async fn load(
        &self,
        operation: Operation,
        id: &SandboxId,
        container: Option<&ContainerId>,
    ) -> Result<Record, Error> {
        let lease = self.lease(id, LeaseMode::Shared, operation.name()).await?;
        let lease = match self.is_orphan(lease.record()) || Self::is_unsettled(&lease)? {
            true => {
                drop(lease);
                self.settled(operation.name(), id).await?
            }
            false => lease,
        };
        allow(operation, lease.record(), container)?;
        Ok(lease.record().clone())
    }

    async fn settled(&self, operation: &'static str, id: &SandboxId) -> Result<Lease, Error> {
        let mut lease = self.recovered(operation, id).await?;
        self.settle(&mut lease).await?;
        Ok(lease)
    }

    /// The exclusive lease on a sandbox that is no orphan any more.
    pub(crate) async fn recovered(
        &self,
        operation: &'static str,
        id: &SandboxId,
    ) -> Result<Lease, Error> {
        let lease = self.lease(id, LeaseMode::Exclusive, operation).await?;
        match self.is_orphan(lease.record()) {
            true => self.recover_leased(lease).await?.ok_or_else(|| {
                let message = format!("sandbox {id} was never completed, and is cleaned up now");
                Error::new(ErrorKind::NotFound, message).of(id)
            }),
            false => Ok(lease),
        }
    }

    /// Stores the record of a carried-out operation.
    pub(crate) fn commit(lease: &mut Lease, record: Record) -> Result<(), Error> {
        let id = record.id().clone();
        lease
            .commit(record)
            .during(|| format!("cannot store sandbox {id}"))
            .map_err(|error| error.of(&id))
    }
}

/// Refuses what the states do not allow.
pub(crate) fn allow(
    operation: Operation,
    record: &Record,
    container: Option<&ContainerId>,
) -> Result<(), Error> {
    let state_of = |id: &ContainerId| {
        let mut known = record.containers.iter().map(|known| &known.status);
        known.find(|known| known.id == *id).map(|known| known.state)
    };
    let container = container.map(|id| (id, state_of(id)));
    allow_states(operation, record.id(), record.state, container)
}

/// As [`allow`], for a sandbox in this state, and a container with its state if it is there.
pub(crate) fn allow_states(
    operation: Operation,
    id: &SandboxId,
    state: SandboxState,
    container: Option<(&ContainerId, Option<ContainerState>)>,
) -> Result<(), Error> {
    let known = container.and_then(|(_, state)| state);
    check(operation, state, known).map_err(|refusal| {
        let message = match container {
            Some((container, _)) if id.as_str() != container.as_str() => {
                format!("sandbox {id}, container {container}: {refusal}")
            }
            Some(_) | None => format!("sandbox {id}: {refusal}"),
        };
        Error::new(refusal.kind(), message).of(id)
    })
}
