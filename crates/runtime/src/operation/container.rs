//! The containers of a sandbox that is up: more of them, and fewer.

use tracing::instrument;
use virtcontainers_agent::spec::Role;
use virtcontainers_oci::HookKind;
use virtcontainers_share::Tree;
use virtcontainers_store::{ContainerRecord, Lease, Record};
use virtcontainers_types::{
    Command, ContainerConfig, ContainerId, ContainerState, ContainerStatus, Decision, ExitStatus,
    Input, Operation, ProcessIdentity, SandboxId, SandboxState, decide,
};

use super::interface::Patience;
use crate::boot;
use crate::cgroup;
use crate::clock;
use crate::error::{Context, Error, ErrorKind};
use crate::exec::dialect;
use crate::hooks;
use crate::intent::{self, Intent};
use crate::options::ContainerIo;
use crate::plan;
use crate::runtime::Runtime;
use crate::stand_in::Making;
use crate::supervisor::client;

impl Runtime {
    /// Adds a container to a sandbox that is up; its program does not run yet. The sandbox's
    /// supervisor carries its streams to `io`.
    ///
    /// With [`ContainerIo::with_stand_in`] a process of the host stands for it, whose end ends the
    /// container. Errors: `Invalid`, `NotFound`, `Unsupported` for what can be foreseen; `AlreadyExists` for
    /// an id in use; `WrongState` when the sandbox is not up; `Gone`; what the guest says. Nothing
    /// is left then. Dropping the future leaves a creation that the next operation takes back.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %config.id))]
    pub async fn create_container(
        &self,
        id: &SandboxId,
        config: ContainerConfig,
        io: ContainerIo,
    ) -> Result<ContainerStatus, Error> {
        plan::check_container(&config, true).map_err(|error| error.of(id))?;
        let container = config.id.clone();
        let operation = Operation::CreateContainer;
        let mut lease = self.exclusive(operation, id, Some(&container)).await?;
        let mut added = ContainerRecord::new(config.clone())
            .during(|| format!("cannot describe container {container}"))?;
        let intent = Intent::CreateContainer(container.clone());
        let settled = intent::enter(&lease.ledger(), lease.record(), [intent])?;
        // On the heap: what a creation needs at its deepest is large.
        match Box::pin(self.add(&lease, &config, io)).await {
            Ok(stand_in) => {
                let mut record = lease.record().clone();
                added.status.stand_in = stand_in;
                added.status.created_at = Some(clock::unix_millis());
                let status = added.status.clone();
                record.containers.push(added);
                record.settled = settled;
                Self::commit(&mut lease, record)?;
                Ok(status)
            }
            Err(error) => {
                if let Err(left) = self.settle(&mut lease).await {
                    tracing::warn!(error = %left, "a failed creation is settled by the next call");
                }
                Self::run_poststop(id, vec![added]).await;
                Err(error.of(id))
            }
        }
    }

    async fn add(
        &self,
        lease: &Lease,
        config: &ContainerConfig,
        io: ContainerIo,
    ) -> Result<Option<ProcessIdentity>, Error> {
        let making = io
            .stood_for
            .then(|| {
                let view = boot::view_of(config, true)?;
                Making::prepare(&self.host.supervision, &io, &view)
            })
            .transpose()?;
        let record = lease.record();
        let tree = self.tree(record)?;
        let ledger = lease.ledger();
        let sandbox = record
            .to_config()
            .during(|| format!("cannot read sandbox {}", record.id()))?;
        let guest = boot::share_container(tree.as_ref(), &sandbox, config, &ledger)?;
        let namespace = self.namespace(record)?;
        for kind in [
            HookKind::Prestart,
            HookKind::CreateRuntime,
            HookKind::CreateContainer,
        ] {
            let surroundings = hooks::Surroundings {
                pid: record.supervisor.map(|supervisor| supervisor.pid),
                status: "creating",
                namespace: namespace.as_ref().map(std::os::fd::AsFd::as_fd),
                ledger: Some(&ledger),
            };
            hooks::run(kind, config, surroundings).await?;
        }
        let facts = record.guest.clone().unwrap_or_default();
        let agent = self.connect_agent(record).await?;
        // The record is right: whatever this connection knew of the id was another container.
        agent.forget(&config.id);
        let role = Role::PodContainer;
        boot::create_container(&*agent, guest, role, dialect(&facts), &facts).await?;
        let directory = self.host.layout.machine(record.id());
        let watched = async {
            let terminal = config.has_terminal();
            let Some(making) = making else {
                client::watch(&directory, &config.id, terminal, io).await?;
                return Ok(None);
            };
            let line = client::watch_stood_for(&directory, &config.id, terminal, io).await?;
            let stand_in = self.start_stand_in(making, record, line)?;
            cgroup::enter(config, stand_in.pid, &ledger)?;
            Ok(Some(stand_in))
        };
        let patience = self.deadlines().lock;
        let late = |_| {
            let message = format!(
                "the sandbox's supervisor did not answer within {} s; stop the sandbox",
                patience.as_secs()
            );
            Err(Error::new(ErrorKind::Timeout, message))
        };
        tokio::time::timeout(patience, watched)
            .await
            .unwrap_or_else(late)
            .during(|| format!("nobody waits for container {}", config.id))
    }

    /// Starts the program of a container that was created. The first one that runs makes a sandbox that
    /// is `ready` run; others of it stay as they are.
    ///
    /// Before that, interfaces that have come into the sandbox's namespace are connected, and one that
    /// was promised is waited for.
    ///
    /// Errors: `NotFound`; `WrongState`; `Gone`; what the guest says of a program that it cannot
    /// start; of an interface `Timeout` when it does not come, and as
    /// [`add_interface`](Self::add_interface): nothing is started then. Dropping the future leaves a start that the next operation settles by ending the
    /// container.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn start_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<ContainerStatus, Error> {
        let operation = Operation::StartContainer;
        let mut lease = self.exclusive(operation, id, Some(container)).await?;
        if lease.record().state == SandboxState::Ready {
            self.catch_up(&mut lease, Patience::ForPromised)
                .await
                .map_err(|error| error.of(id))?;
        }
        let agent = self.connect_agent(lease.record()).await?;
        let intent = Intent::StartContainer(container.clone());
        let settled = intent::enter(&lease.ledger(), lease.record(), [intent])?;
        agent.forget(container);
        let started = agent.start_container(container).await;
        if let Err(error) = started {
            let message = format!("the guest cannot start container {container}");
            if let Err(left) = self.settle(&mut lease).await {
                tracing::warn!(error = %left, "a failed start is settled by the next call");
            }
            return Err(Error::new(error.kind(), message).because(error).of(id));
        }
        let mut record = lease.record().clone();
        record.settled = settled;
        // The first one that runs makes the sandbox run.
        if let Decision::Become(state) = decide(Some(record.state), Input::Command(Command::Start))
        {
            record.state = state;
        }
        let status = set_state(&mut record, container, ContainerState::Running)?;
        Self::commit(&mut lease, record)?;
        self.run_poststart(&lease, |known| known == container).await;
        Ok(status)
    }

    /// Ends all processes of a container and removes it from the guest; its record stays, with the
    /// exit status. Succeeds on one that has ended.
    ///
    /// No lock is held while the processes end. With `force` what the guest says is ignored.
    /// Errors: `NotFound`; `Timeout` when they do not end; `Gone`. Safe to drop and to repeat.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container, force))]
    pub async fn stop_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
        force: bool,
    ) -> Result<ContainerStatus, Error> {
        let operation = Operation::StopContainer;
        let record = self.load(operation, id, Some(container)).await?;
        let mut seen = None;
        if is_up(&record) && state_of(&record, container) != Some(ContainerState::Stopped) {
            let ended = self.end_processes(&record, container).await;
            match ended {
                Ok(status) => seen = status,
                Err(error) if force => {
                    tracing::warn!(%error, "the guest did not end a container");
                }
                Err(error) => return Err(error.of(id)),
            }
        }
        let mut lease = self.exclusive(operation, id, Some(container)).await?;
        if is_up(lease.record()) {
            let removed = self.remove_from_guest(lease.record(), container).await;
            if let Err(error) = removed {
                match force {
                    true => tracing::warn!(%error, "the guest did not remove a container"),
                    false => return Err(error.of(id)),
                }
            }
            self.withdraw(lease.record(), container)?;
        }
        let mut record = lease.record().clone();
        let known = known(&mut record, container)?;
        if known.state != ContainerState::Stopped {
            known.state = ContainerState::Stopped;
            known.exit_status = Some(seen.unwrap_or(ExitStatus::LOST));
            Self::commit(&mut lease, record.clone())?;
        }
        self.known_status(lease.record(), container)
    }

    /// Kills a container and waits for its init process through the supervisor.
    async fn end_processes(
        &self,
        record: &Record,
        container: &ContainerId,
    ) -> Result<Option<ExitStatus>, Error> {
        let directory = self.host.layout.machine(record.id());
        let patience = self.deadlines().stop_guest;
        // The sandbox may be paused meanwhile: then the guest does not even answer.
        let ended = tokio::time::timeout(patience, async {
            let agent = self.connect_agent(record).await?;
            let killed = agent.kill_all(container).await;
            killed.during(|| format!("cannot end container {container}"))?;
            client::await_exit(&directory, container).await
        });
        ended.await.map_err(|_| {
            let message = format!(
                "container {container} did not end within {} s of SIGKILL; stop the sandbox",
                patience.as_secs()
            );
            Error::new(ErrorKind::Timeout, message)
        })?
    }

    /// Removes a container that does not run, with what was shared for it.
    ///
    /// Errors: `NotFound`; `WrongState` while it runs; `Gone`; what the guest says. Safe to drop and
    /// to repeat.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container))]
    pub async fn delete_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
    ) -> Result<(), Error> {
        let operation = Operation::DeleteContainer;
        let mut lease = self.exclusive(operation, id, Some(container)).await?;
        self.delete_leased(&mut lease, container, false).await
    }

    async fn delete_leased(
        &self,
        lease: &mut Lease,
        container: &ContainerId,
        force: bool,
    ) -> Result<(), Error> {
        let id = lease.id().clone();
        if is_up(lease.record()) {
            match self.remove_from_guest(lease.record(), container).await {
                Err(error) if force => {
                    tracing::warn!(%error, "the guest did not remove a container");
                }
                removed => removed.map_err(|error| error.of(&id))?,
            }
        }
        self.withdraw(lease.record(), container)?;
        self.forget_shared(&lease.ledger(), container)?;
        cgroup::remove(&lease.ledger(), container).map_err(|error| error.of(&id))?;
        let mut record = lease.record().clone();
        let mut gone = record
            .containers
            .extract_if(.., |known| known.status.id == *container)
            .collect::<Vec<_>>();
        Self::commit(lease, record)?;
        if let Some(gone) = gone.pop() {
            Self::run_poststop(&id, vec![gone]).await;
        }
        Ok(())
    }

    /// Cleans up after a container whose manager died: ends and removes it, and its sandbox with the
    /// last one. What is not there is no error. With `force` errors before the last step are only
    /// logged.
    ///
    /// Errors: as [`stop_container`](Self::stop_container) and
    /// [`delete_sandbox`](Self::delete_sandbox). Safe to drop and to repeat.
    #[instrument(skip_all, fields(subsystem = "container", sandbox = %id, container = %container, force))]
    pub async fn cleanup_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
        force: bool,
    ) -> Result<(), Error> {
        let cleaned = self.clean_container(id, container, force).await;
        let left = match cleaned {
            Ok(left) => left,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if force => {
                tracing::warn!(%error, "a container is not wholly cleaned up");
                let status = self.status_sandbox(id).await;
                status.map_or(0, |status| {
                    let others = status.containers.iter();
                    others.filter(|known| known.id != *container).count()
                })
            }
            Err(error) => return Err(error),
        };
        match left {
            0 => self.delete_sandbox(id, true).await,
            _ => Ok(()),
        }
    }

    /// Gives how many containers are left.
    async fn clean_container(
        &self,
        id: &SandboxId,
        container: &ContainerId,
        force: bool,
    ) -> Result<usize, Error> {
        let status = self.status_sandbox(id).await?;
        if status.containers.iter().any(|known| known.id == *container) {
            if status.state == SandboxState::Paused {
                self.resume_sandbox(id).await?;
            }
            self.stop_container(id, container, force).await?;
            let mut lease = self
                .exclusive(Operation::CleanupContainer, id, Some(container))
                .await?;
            if state_of(lease.record(), container).is_some() {
                self.delete_leased(&mut lease, container, force).await?;
            }
            return Ok(lease.record().containers.len());
        }
        Ok(status.containers.len())
    }

    fn known_status(
        &self,
        record: &Record,
        container: &ContainerId,
    ) -> Result<ContainerStatus, Error> {
        let mut known = record.containers.iter().map(|known| &known.status);
        let known = known.find(|known| known.id == *container).cloned();
        known.ok_or_else(|| no_container(record, container))
    }

    /// The sandbox's shared tree, when its guest has one.
    fn tree(&self, record: &Record) -> Result<Option<Tree>, Error> {
        if !self.host.backend.capabilities().filesystem_sharing {
            return Ok(None);
        }
        let id = record.id();
        Tree::open(self.host.layout.root(), id)
            .map(Some)
            .during(|| format!("cannot open the shared directory of sandbox {id}"))
    }

    /// Takes back what was shared for a container. Succeeds when there is nothing.
    pub(crate) fn withdraw(&self, record: &Record, container: &ContainerId) -> Result<(), Error> {
        let tree = match self.tree(record) {
            Ok(Some(tree)) => tree,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        tree.remove_container(container)
            .during(|| format!("cannot take back the directories of container {container}"))
    }
}

fn is_up(record: &Record) -> bool {
    matches!(record.state, SandboxState::Ready | SandboxState::Running)
}

fn state_of(record: &Record, container: &ContainerId) -> Option<ContainerState> {
    let mut known = record.containers.iter().map(|known| &known.status);
    known
        .find(|known| known.id == *container)
        .map(|known| known.state)
}

fn known<'a>(
    record: &'a mut Record,
    container: &ContainerId,
) -> Result<&'a mut ContainerStatus, Error> {
    let missing = no_container(record, container);
    let mut known = record.containers.iter_mut().map(|known| &mut known.status);
    known.find(|known| known.id == *container).ok_or(missing)
}

fn no_container(record: &Record, container: &ContainerId) -> Error {
    let message = format!("sandbox {} has no container {container}", record.id());
    Error::new(ErrorKind::NotFound, message).of(record.id())
}

/// Sets the state of a container that is in the record.
pub(super) fn set_state(
    record: &mut Record,
    container: &ContainerId,
    state: ContainerState,
) -> Result<ContainerStatus, Error> {
    let known = known(record, container)?;
    known.state = state;
    Ok(known.clone())
}
