//! The end of one of several containers, in the record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use virtcontainers_store::{LeaseMode, Store};
use virtcontainers_types::{ContainerId, ContainerState, ExitStatus, SandboxId};

use crate::error::{Context, Error, ErrorKind};
use crate::runtime::blocking;

/// Which container of an id is the present one: an id may be used again before the end of its last
/// owner is recorded.
#[derive(Debug, Clone, Default)]
pub(super) struct Watches(Arc<Mutex<BTreeMap<ContainerId, u64>>>);

impl Watches {
    /// A new container of this id is waited for. Whoever creates it holds the exclusive lease.
    pub(super) fn begin(&self, container: &ContainerId) -> u64 {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = watches.entry(container.clone()).or_default();
        *number += 1;
        *number
    }

    /// Whether the container of this number is the present one.
    pub(super) fn is_current(&self, container: &ContainerId, number: u64) -> bool {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.get(container) == Some(&number)
    }
}

/// A container that ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) container: ContainerId,
    /// Its number among those of its id.
    pub(super) number: u64,
    pub(super) status: ExitStatus,
}

/// Records that one of several containers ended, however long others hold the lease. `deadline` is
/// that of one try.
pub(super) async fn note_container_end(
    store: Arc<dyn Store>,
    sandbox: SandboxId,
    deadline: Duration,
    watches: Watches,
    ended: Ended,
) -> Result<(), Error> {
    blocking(move || {
        let mut lease = loop {
            let opened = store.open(&sandbox, LeaseMode::Exclusive, "supervise", deadline);
            match opened.during(|| format!("cannot take the lease of sandbox {sandbox}")) {
                // An end that is not recorded would be looked for in vain ever after.
                Err(error) if error.kind() == ErrorKind::Timeout => {
                    tracing::warn!(%error, "the end of a container is recorded later");
                }
                opened => break opened?,
            }
        };
        let Ended {
            container,
            number,
            status,
        } = ended;
        // Asked under the lease, under which the next one of this id is made.
        if !watches.is_current(&container, number) {
            return Ok(());
        }
        let mut record = lease.record().clone();
        let mut known = record.containers.iter_mut().map(|known| &mut known.status);
        match known.find(|known| known.id == container) {
            Some(known) if known.state != ContainerState::Stopped => {
                known.state = ContainerState::Stopped;
                known.exit_status = Some(status);
            }
            // Its creation was given up, or its end is recorded.
            Some(_) | None => return Ok(()),
        }
        lease
            .commit(record)
            .during(|| format!("cannot store the end of container {container}"))
    })
    .await
}
