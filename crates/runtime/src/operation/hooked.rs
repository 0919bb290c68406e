//! The points after an operation at which hooks run; what fails there changes nothing.

use std::os::fd::AsFd;

use virtcontainers_network::{DIRECTORY, Namespace, reopen_namespace};
use virtcontainers_oci::HookKind;
use virtcontainers_store::{ContainerRecord, Lease, Record};
use virtcontainers_types::{ContainerConfig, ContainerId, SandboxId};

use crate::error::{Context, Error};
use crate::hooks::{self, Surroundings};
use crate::runtime::Runtime;

impl Runtime {
    /// The network namespace of a sandbox that is up; `None` when it has none of its own.
    pub(crate) fn namespace(&self, record: &Record) -> Result<Option<Namespace>, Error> {
        let id = record.id();
        let config = record
            .config
            .get()
            .during(|| format!("cannot read the configuration of sandbox {id}"))?;
        let network = &config.network;
        if network.disabled {
            return Ok(None);
        }
        let ours = std::path::Path::new(DIRECTORY).join(format!("vc-{id}"));
        let path = network.namespace.as_deref().unwrap_or(&ours);
        reopen_namespace(path)
            .map(Some)
            .during(|| format!("cannot use the network namespace {}", path.display()))
    }

    /// Runs the `poststart` hooks of the containers that `started` picks.
    pub(super) async fn run_poststart(
        &self,
        lease: &Lease,
        started: impl Fn(&ContainerId) -> bool,
    ) {
        let record = lease.record();
        let configs = record
            .containers
            .iter()
            .filter(|known| started(&known.status.id))
            .filter_map(|known| hooked(&known.config));
        for config in configs {
            let ran = async {
                let namespace = self.namespace(record)?;
                let surroundings = Surroundings {
                    pid: record.supervisor.map(|supervisor| supervisor.pid),
                    status: "running",
                    namespace: namespace.as_ref().map(AsFd::as_fd),
                    ledger: Some(&lease.ledger()),
                };
                hooks::run(HookKind::Poststart, config, surroundings).await
            };
            if let Err(error) = ran.await {
                tracing::warn!(%error, sandbox = %record.id(), "poststart hooks were not run");
            }
        }
    }

    /// Runs the `poststop` hooks of containers that were deleted.
    pub(crate) async fn run_poststop(id: &SandboxId, containers: Vec<ContainerRecord>) {
        for config in containers.iter().filter_map(|known| hooked(&known.config)) {
            let surroundings = Surroundings {
                pid: None,
                status: "stopped",
                namespace: None,
                ledger: None,
            };
            let ran = hooks::run(HookKind::Poststop, config, surroundings).await;
            if let Err(error) = ran {
                tracing::warn!(%error, sandbox = %id, "poststop hooks were not run");
            }
        }
    }
}

/// The configuration of a container that may have hooks; parsing is spared for all others.
fn hooked(config: &virtcontainers_store::Stored<ContainerConfig>) -> Option<&ContainerConfig> {
    if !config.text().contains("\"hooks\"") {
        return None;
    }
    let config = config.get();
    config
        .inspect_err(|error| tracing::warn!(%error, "hooks cannot be read"))
        .ok()
}
