//! Between the first phase and the second: the process that stands for the container takes on its
//! network namespace, and the hooks that come before a container is created run. The network is
//! connected only then, since hooks may make it (CNI plugins do).

use std::os::fd::AsFd;

use virtcontainers_network::Namespace;
use virtcontainers_oci::HookKind;

use super::launch::{daemon_exit, lost};
use super::share::Shared;
use super::{BootFailure, Job, Phase};
use crate::error::{Context, Error};
use crate::hooks::{self, Surroundings};

impl Shared {
    /// Runs the hooks of all containers, while nothing of the machine is there yet.
    pub(super) async fn run_hooks(&self, job: Job<'_>) -> Result<(), BootFailure> {
        if job.die_with_thread {
            enter(job, self.namespace.as_ref()).map_err(BootFailure::at(Phase::Share))?;
        }
        let hooks = async {
            for container in &job.config.containers {
                for kind in [
                    HookKind::Prestart,
                    HookKind::CreateRuntime,
                    HookKind::CreateContainer,
                ] {
                    let surroundings = Surroundings {
                        pid: Some(std::process::id()),
                        status: "creating",
                        namespace: self.namespace.as_ref().map(AsFd::as_fd),
                        ledger: Some(job.ledger),
                    };
                    hooks::run(kind, container, surroundings).await?;
                }
            }
            Ok(())
        };
        tokio::select! {
            ran = hooks => ran.map_err(BootFailure::at(Phase::Share)),
            exit = daemon_exit(self.daemon.as_deref()) => Err(lost(Phase::Share, exit)),
        }
    }
}

/// A supervisor's process stands for the container, so it is in the sandbox's network namespace
/// as the container's own process would be.
fn enter(job: Job<'_>, namespace: Option<&Namespace>) -> Result<(), Error> {
    let Some(namespace) = namespace else {
        return Ok(());
    };
    let failed = || "the supervisor cannot enter the network namespace".to_owned();
    if let Some(front) = job.front {
        let namespace = namespace.descriptor().during(failed)?;
        front.enter_network(namespace).during(failed)?;
    }
    // What this thread starts is in it too.
    let namespace = namespace.descriptor().during(failed)?;
    virtcontainers_process::enter_network_namespace(namespace).during(failed)
}
