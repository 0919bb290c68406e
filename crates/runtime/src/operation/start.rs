//! Starting the containers of a sandbox, and booting a stopped one again.

use tracing::instrument;
use virtcontainers_store::{Lease, Record};
use virtcontainers_types::{
    Attachment, Command, ContainerId, ContainerState, Decision, Fact, Input, Operation, SandboxId,
    SandboxState, SandboxStatus, decide,
};

use super::interface::Patience;
use crate::error::{Context, Error, ErrorKind};
use crate::intent::{self, Intent};
use crate::options::{ContainerIo, Progress};
use crate::runtime::Runtime;
use crate::supervisor::control::Begin;
use crate::undo::{self, Extent};

impl Runtime {
    /// Starts the containers of a sandbox that is `ready`, after interfaces that have come into its
    /// namespace are connected; one that was promised is waited for. A sandbox that is `stopped`
    /// boots a new machine from the stored configuration, in which its containers are created and
    /// started anew; their streams lead nowhere, and it outlives this process.
    ///
    /// Errors: `NotFound`; `WrongState` with the states that allow it; `Gone` when the guest is
    /// lost; of an interface `Timeout` when it does not come, and as
    /// [`add_interface`](Self::add_interface): nothing is started then; what
    /// [`create_sandbox`](Self::create_sandbox) says of a boot, after which the sandbox is `failed`.
    /// When one container cannot be started, those before it are ended. Dropping the
    /// future leaves a start that the next operation settles: its containers are ended, or its
    /// machine.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn start_sandbox(&self, id: &SandboxId) -> Result<SandboxStatus, Error> {
        let mut lease = self.exclusive(Operation::StartSandbox, id, None).await?;
        match decide(Some(lease.record().state), Input::Command(Command::Start)) {
            Decision::Become(SandboxState::Running) => self.start_containers(&mut lease).await?,
            Decision::Become(state) => self.boot_again(&mut lease, state).await?,
            Decision::Stay | Decision::StopFirst | Decision::Remove | Decision::Refuse { .. } => {
                let message = format!("sandbox {id} cannot be started");
                return Err(Error::new(ErrorKind::WrongState, message).of(id));
            }
        }
        Ok(lease.record().status())
    }

    async fn start_containers(&self, lease: &mut Lease) -> Result<(), Error> {
        self.catch_up(lease, Patience::ForPromised)
            .await
            .map_err(|error| error.of(lease.id()))?;
        let mut record = lease.record().clone();
        let agent = self.connect_agent(&record).await?;
        let created: Vec<_> = record
            .containers
            .iter_mut()
            .map(|container| &mut container.status)
            .filter(|container| container.state == ContainerState::Created)
            .collect();
        let intents = created
            .iter()
            .map(|container| Intent::StartContainer(container.id.clone()));
        let settled = intent::enter(&lease.ledger(), lease.record(), intents)?;
        for container in created {
            agent.forget(&container.id);
            let started = agent.start_container(&container.id).await;
            if let Err(error) = started {
                let message = format!("the guest cannot start container {}", container.id);
                let error = Error::new(error.kind(), message).because(error);
                // All that were started are ended, this one too.
                if let Err(left) = self.settle(lease).await {
                    tracing::warn!(error = %left, "a failed start is settled by the next call");
                }
                return Err(error.of(lease.id()));
            }
            container.state = ContainerState::Running;
        }
        if let Decision::Become(state) = decide(Some(record.state), Input::Command(Command::Start))
        {
            record.state = state;
        }
        record.settled = settled;
        let started: Vec<_> = newly_running(&record, lease.record());
        Self::commit(lease, record)?;
        self.run_poststart(lease, |known| started.contains(known))
            .await;
        Ok(())
    }

    /// Boots the machine of a stopped sandbox anew.
    async fn boot_again(&self, lease: &mut Lease, creating: SandboxState) -> Result<(), Error> {
        let id = lease.id().clone();
        let config = lease
            .record()
            .to_config()
            .during(|| format!("cannot read the configuration of sandbox {id}"))?;
        let plan = self.plan(&config, Attachment::Detached)?;
        let mut record = lease.record().clone();
        record.state = creating;
        record.failure = None;
        record.plan = Some(plan.to_blob()?);
        Self::commit(lease, record)?;
        let deadline = plan.machine.deadlines.delete;
        let begin = Begin {
            config,
            plan,
            start: true,
            own_terminal: false,
        };
        let io = ContainerIo::default();
        let Err(error) = self.bring_up(lease, begin, io, &Progress::default()).await else {
            return Ok(());
        };
        let ledger = lease.ledger();
        let undone = self
            .undo_entries(ledger.clone(), Extent::Stop, deadline)
            .await;
        match undone.and_then(|undone| undo::forget_stopped(&ledger, undone)) {
            Ok(()) => {}
            Err(left) => tracing::error!(%left, "a failed boot is not wholly cleaned up"),
        }
        let record = boot_failed(lease.record(), &error.to_string());
        if let Err(left) = Self::commit(lease, record) {
            tracing::error!(%left, "a failed boot cannot be recorded");
        }
        Err(error.of(&id))
    }
}

/// The containers that run in `now` and did not in `before`.
fn newly_running(now: &Record, before: &Record) -> Vec<ContainerId> {
    let running = |record: &Record| -> Vec<ContainerId> {
        let statuses = record.containers.iter().map(|known| &known.status);
        let running = statuses.filter(|known| known.state == ContainerState::Running);
        running.map(|known| known.id.clone()).collect()
    };
    let before = running(before);
    let now = running(now).into_iter();
    now.filter(|id| !before.contains(id)).collect()
}

fn boot_failed(record: &Record, why: &str) -> Record {
    let mut record = record.clone();
    if let Decision::Become(state) = decide(Some(record.state), Input::Fact(Fact::BootFailed)) {
        record.state = state;
    }
    record.failure = Some(why.to_owned());
    record
}
