//! Making a sandbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::instrument;
use virtcontainers_store::{Blob, Lease, Record};
use virtcontainers_types::{
    Command, ContainerState, Deadlines, Decision, Fact, Input, ProcessIdentity, SandboxConfig,
    SandboxId, decide,
};

use crate::boot::Phase;
use crate::clock;
use crate::error::{Context, Error, ErrorKind};
use crate::network::Attached;
use crate::options::{ContainerIo, CreateOptions, Progress};
use crate::plan::{self, SandboxPlan};
use crate::recover::make_machine_directory;
use crate::runtime::{Runtime, blocking};
use crate::sandbox::Sandbox;
use crate::supervisor::control::{Begin, Up};
use crate::supervisor::{self, Held};
use crate::undo::Extent;

impl Runtime {
    /// Makes a sandbox and creates its containers; none of their programs runs yet.
    ///
    /// Errors: `Invalid`, `NotFound`, `Unsupported` for what can be foreseen, `AlreadyExists` for an
    /// id in use; of a boot that failed `Gone` or `Timeout` with a
    /// [`BootReport`](crate::BootReport). Nothing is left then. Dropping the future gives the
    /// creation up: its supervisor undoes it; [`delete_sandbox`](Self::delete_sandbox) waits for that.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %config.id))]
    pub async fn create_sandbox(
        &self,
        config: SandboxConfig,
        options: CreateOptions,
    ) -> Result<Sandbox, Error> {
        let id = config.id.clone();
        self.make(config, options, false)
            .await
            .map_err(|error| error.of(&id))
    }

    /// Makes a sandbox and starts its containers, in one go. Errors and dropping: as
    /// [`create_sandbox`](Self::create_sandbox).
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %config.id))]
    pub async fn run_sandbox(
        &self,
        config: SandboxConfig,
        options: CreateOptions,
    ) -> Result<Sandbox, Error> {
        let id = config.id.clone();
        self.make(config, options, true)
            .await
            .map_err(|error| error.of(&id))
    }

    async fn make(
        &self,
        config: SandboxConfig,
        options: CreateOptions,
        start: bool,
    ) -> Result<Sandbox, Error> {
        let CreateOptions {
            mut io,
            attachment,
            progress,
        } = options;
        let plan = self.plan(&config, attachment)?;
        let deadlines = plan.machine.deadlines;
        let streams = io.take_streams();
        let begin = Begin {
            config,
            plan,
            start,
            own_terminal: io.is_terminal,
        };
        let mut lease = self.claim(&begin, deadlines).await?;
        match self.bring_up(&mut lease, begin, io, &progress).await {
            Ok(held) => Ok(Sandbox::of_creator(self, lease.record(), held, streams)),
            Err(error) => {
                let id = lease.id().clone();
                let containers = lease.record().containers.clone();
                // The supervisor has undone its part, unless it died.
                if let Err(left) = self.undo(lease, Extent::Delete, deadlines).await {
                    tracing::error!(%left, "a failed creation is not wholly cleaned up");
                }
                Self::run_poststop(&id, containers).await;
                Err(error)
            }
        }
    }

    /// Decides how a sandbox is brought up, and refuses what can be foreseen to fail.
    pub(super) fn plan(
        &self,
        config: &SandboxConfig,
        attachment: virtcontainers_types::Attachment,
    ) -> Result<SandboxPlan, Error> {
        let host = &self.host;
        let backend = host.backend.as_ref();
        let factor = host.deadline_factor;
        let nonce = clock::nonce()?;
        let plan = plan::plan(config, &host.layout, backend, factor, nonce, attachment)?;
        plan::check(config, &plan, backend, &host.daemon)?;
        Ok(plan)
    }

    /// Takes the id: a durable record in the state `creating`.
    async fn claim(&self, begin: &Begin, deadlines: Deadlines) -> Result<Lease, Error> {
        let Decision::Become(state) = decide(None, Input::Command(Command::Create)) else {
            let message = "a new sandbox has no state";
            return Err(Error::new(ErrorKind::Internal, message));
        };
        let id = begin.config.id.clone();
        let name = self.host.backend.name();
        let record = Record::new(state, begin.config.clone(), name, clock::unix_millis());
        let mut record = record.during(|| format!("cannot describe sandbox {id}"))?;
        record.plan = Some(begin.plan.to_blob()?);
        // Somebody who died while creating it must not keep the id.
        self.recover_orphan(&id).await?;
        let failed = |id: &SandboxId| format!("cannot create sandbox {id}");
        let claim = match self.host.store.create(&id, "create", Duration::ZERO) {
            Err(error) if error.kind() == ErrorKind::Busy => {
                let store = Arc::clone(&self.host.store);
                let id = id.clone();
                blocking(move || {
                    let claim = store.create(&id, "create", deadlines.lock);
                    claim.during(|| failed(&id))
                })
                .await?
            }
            claim => claim.during(|| failed(&id))?,
        };
        claim
            .commit(record)
            .during(|| format!("cannot store sandbox {id}"))
    }

    /// Has the sandbox of a leased record in the state `creating` brought up, and stores that.
    pub(super) async fn bring_up(
        &self,
        lease: &mut Lease,
        begin: Begin,
        io: ContainerIo,
        progress: &Progress,
    ) -> Result<Held, Error> {
        make_machine_directory(lease, &begin.plan.machine.directory)?;
        let start = begin.start;
        let clock = Instant::now();
        let starting = supervisor::start(&self.host, &lease.ledger(), begin, io).await?;
        progress.completed(Phase::Supervisor, clock.elapsed());
        let identity = starting.identity;
        let (up, held) = starting.up(progress).await?;
        let record = up_record(lease.record(), identity, up, start)?;
        Self::commit(lease, record)?;
        if start {
            self.run_poststart(lease, |_| true).await;
        }
        Ok(held)
    }
}

/// The record of a sandbox that came up.
fn up_record(
    record: &Record,
    supervisor: ProcessIdentity,
    up: Up,
    started: bool,
) -> Result<Record, Error> {
    let mut record = record.clone();
    let inputs = [Input::Fact(Fact::BootDone), Input::Command(Command::Start)];
    for input in inputs.into_iter().take(if started { 2 } else { 1 }) {
        if let Decision::Become(state) = decide(Some(record.state), input) {
            record.state = state;
        }
    }
    let state = match started {
        true => ContainerState::Running,
        false => ContainerState::Created,
    };
    for container in &mut record.containers {
        container.status.state = state;
        container.status.exit_status = None;
    }
    record.boots += 1;
    record.supervisor = Some(supervisor);
    record.machine = Some(Blob {
        version: up.machine.version,
        data: up.machine.data,
    });
    record.guest = Some(up.facts);
    record.network = match up.network == Attached::default() {
        true => None,
        false => Some(up.network.to_blob()?),
    };
    Ok(record)
}
