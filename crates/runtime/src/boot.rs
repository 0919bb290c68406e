//! Bringing a sandbox up, phase by phase. Each phase is a value that consumes the one before it;
//! the last holds everything that lives as long as the sandbox.
//!
//! A phase that fails, or is dropped, ends the processes that it owns; the rest of its effects are
//! in the ledger, from which the supervisor undoes them.

mod connect;
mod hooks;
mod launch;
mod network;
mod phase;
mod reach;
mod setup;
mod share;
mod source;
mod view;
mod volumes;

use std::time::{Duration, Instant};

use virtcontainers_hypervisor::MachineExit;
use virtcontainers_store::Ledger;
use virtcontainers_types::{AgentStart, SandboxConfig};

pub(crate) use connect::reconnect;
pub use phase::Phase;
pub(crate) use setup::Ready;
pub(crate) use setup::create_container;
pub(crate) use share::share_container;
pub(crate) use source::{route_of, shared_memory_of};
pub(crate) use view::view_of;

use crate::error::{Error, ErrorKind};
use crate::front::Front;
use crate::host::Host;
use crate::options::Progress;
use crate::plan::SandboxPlan;
use crate::undo;
use share::Shared;

/// What all phases work with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) host: &'a Host,
    pub(crate) config: &'a SandboxConfig,
    pub(crate) plan: &'a SandboxPlan,
    pub(crate) ledger: &'a Ledger,
    /// Children die with the thread that runs the boot.
    pub(crate) die_with_thread: bool,
    /// The thread by which this process is seen, when that is another.
    pub(crate) front: Option<&'a Front>,
    /// The containers are started at once.
    pub(crate) starts: bool,
    /// How long the guest may take until its agent answers.
    pub(crate) limit: Duration,
}

/// A boot that did not succeed: where, why, and how the machine ended if it did.
#[derive(Debug)]
pub(crate) struct BootFailure {
    pub(crate) phase: Phase,
    pub(crate) error: Error,
    pub(crate) exit: Option<MachineExit>,
}

impl BootFailure {
    fn at(phase: Phase) -> impl FnOnce(Error) -> Self {
        move |error| Self {
            phase,
            error,
            exit: None,
        }
    }

    /// The machine lived, and nothing was heard of its agent.
    fn is_silence(&self) -> bool {
        self.phase == Phase::Guest && self.exit.is_none() && self.error.kind() == ErrorKind::Timeout
    }

    /// The backend's error, with how the machine ended if it knows.
    fn of_machine(phase: Phase, job: Job<'_>, error: virtcontainers_hypervisor::Error) -> Self {
        let exit = error.exit().cloned();
        let id = &job.config.id;
        let message = format!("cannot start the machine of sandbox {id}");
        let error = Error::new(error.kind(), message).because(error);
        Self { phase, error, exit }
    }
}

/// The part of the boot's deadline that the first attempt with a guest of ours gets.
const FIRST_ATTEMPT: u32 = 4;

/// Brings the sandbox up to the point where its containers are created.
///
/// A guest of ours that stays silent is given up early and booted once more: once in some hundred
/// starts on a busy host `vhost-device-vsock` 0.3 delivers nothing to a guest that is up and waits.
///
/// Dropping the future ends its processes; the ledger has the rest.
pub(crate) async fn boot(job: Job<'_>, progress: &Progress) -> Result<Ready, BootFailure> {
    if job.config.agent.start == AgentStart::Polled {
        return Box::pin(attempt(job, progress)).await;
    }
    let first = Job {
        limit: job.limit / FIRST_ATTEMPT,
        ..job
    };
    // On the heap, each: they are large, and there is room for both otherwise.
    match Box::pin(attempt(first, progress)).await {
        Err(failure) if failure.is_silence() => {
            tracing::warn!(sandbox = %job.config.id, "the guest stays silent and is booted again");
            undo::undo_boot(job.ledger, job.host.backend.as_ref())
                .map_err(BootFailure::at(Phase::Share))?;
            Box::pin(attempt(job, progress)).await
        }
        attempted => attempted,
    }
}

async fn attempt(job: Job<'_>, progress: &Progress) -> Result<Ready, BootFailure> {
    let mut lap = Lap::new(progress);
    let shared = Shared::prepare(job).map_err(BootFailure::at(Phase::Share))?;
    shared.run_hooks(job).await?;
    let shared = shared
        .connect_network(job)
        .await
        .map_err(BootFailure::at(Phase::Share))?;
    lap.completed(Phase::Share);
    let launched = shared.launch(job).await?;
    lap.completed(Phase::Launch);
    let connected = launched.connect(job).await?;
    lap.completed(Phase::Guest);
    let ready = connected.set_up(job, &mut lap).await?;
    Ok(ready)
}

/// A clock that tells each phase's time.
pub(crate) struct Lap<'a> {
    progress: &'a Progress,
    since: Instant,
}

impl<'a> Lap<'a> {
    fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            since: Instant::now(),
        }
    }

    fn completed(&mut self, phase: Phase) {
        let now = Instant::now();
        self.progress.completed(phase, now - self.since);
        self.since = now;
    }
}
