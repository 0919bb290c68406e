//! Settling what an interrupted operation left half-done.

use tokio::time::timeout;
use virtcontainers_agent::ProcessRef;
use virtcontainers_store::{Lease, Record};
use virtcontainers_types::{ContainerId, ContainerState, ExitStatus, SandboxState};

use crate::cgroup;
use crate::error::{Context, Error, ErrorKind};
use crate::intent::{self, Intent, Numbered};
use crate::network::Attached;
use crate::runtime::Runtime;

/// The status of a process that SIGKILL ended.
const KILLED: ExitStatus = ExitStatus(128 + 9);

impl Runtime {
    /// Whether an interrupted operation left something to settle.
    pub(crate) fn is_unsettled(lease: &Lease) -> Result<bool, Error> {
        let pending = intent::pending(&lease.ledger(), lease.record().settled)?;
        Ok(!pending.intents.is_empty())
    }

    /// Takes back what an interrupted operation did to the guest, or carries it on. The lease is
    /// exclusive and its sandbox no orphan. Safe to drop and to repeat.
    ///
    /// Errors: what the guest or the store say; the rest stays pending.
    pub(crate) async fn settle(&self, lease: &mut Lease) -> Result<(), Error> {
        let ledger = lease.ledger();
        let pending = intent::pending(&ledger, lease.record().settled)?;
        if !pending.outdated.is_empty() {
            ledger
                .forget(&pending.outdated)
                .during(|| "cannot shorten the ledger of the sandbox".to_owned())?;
        }
        let Some(last) = pending.intents.last().map(|intent| intent.number) else {
            return Ok(());
        };
        let id = lease.id().clone();
        tracing::warn!(sandbox = %id, intents = ?pending.intents, "settling an interrupted operation");
        let stopping = pending.intents.iter().any(|one| one.intent == Intent::Stop);
        let live = lease.record().state.is_live();
        if stopping && live {
            return self.take_down(lease, last, false).await;
        }
        // Removals that are given up: the guest has these interfaces still.
        let mut kept = Vec::new();
        if live {
            for Numbered { intent, .. } in pending.intents.iter().rev() {
                match self.take_back(lease, intent).await {
                    Ok(()) => {}
                    Err(error) if is_removal(intent) && error.kind() == ErrorKind::Timeout => {
                        tracing::warn!(sandbox = %id, %error, "an interface is not removed");
                        kept.push(intent);
                    }
                    // There is nothing to take back from; nobody else will say so while we hold the
                    // lease.
                    Err(error) if error.kind() == ErrorKind::Gone => {
                        return self.take_down_lost(lease, last, &error).await;
                    }
                    Err(error) => {
                        let message = format!(
                            "cannot settle what an interrupted operation left of sandbox {id}; \
                             delete it with force if this stays so"
                        );
                        return Err(Error::new(error.kind(), message).because(error).of(&id));
                    }
                }
            }
        }
        let mut record = lease.record().clone();
        for Numbered { intent, .. } in &pending.intents {
            match intent {
                Intent::StartContainer(container) => killed(&mut record, container),
                Intent::RemoveInterface(device) if live && !kept.contains(&intent) => {
                    let attached = Attached::of(&record)?.apart_from(device);
                    record.network = Some(attached.to_blob()?);
                }
                _ => {}
            }
        }
        record.settled = last;
        lease
            .commit(record)
            .during(|| format!("cannot store sandbox {id}"))
    }

    async fn take_back(&self, lease: &Lease, intent: &Intent) -> Result<(), Error> {
        let record = lease.record();
        match intent {
            // Without a machine there is nothing to stop.
            Intent::Stop => Ok(()),
            Intent::Pause | Intent::Resume => self.turn_machine(record).await,
            Intent::CreateContainer(container) => {
                self.remove_from_guest(record, container).await?;
                self.withdraw(record, container)?;
                cgroup::remove(&self.host.store.ledger(record.id()), container)
            }
            Intent::StartContainer(container) => {
                let agent = self.connect_agent(record).await?;
                let killed = agent.kill_all(container).await;
                tolerate_gone(killed).during(|| format!("cannot end container {container}"))
            }
            Intent::PauseContainer(container) => self.freeze(record, container, false).await,
            Intent::ResumeContainer(container) => self.freeze(record, container, true).await,
            Intent::UpdateContainer(container) => {
                let limits = record
                    .containers
                    .iter()
                    .find(|known| known.status.id == *container);
                match limits {
                    Some(limits) => self.apply_limits(record, limits).await,
                    None => Ok(()),
                }
            }
            Intent::AddInterface(device) | Intent::RemoveInterface(device) => {
                self.unplug(lease, device).await
            }
        }
    }

    /// Freezes a container, or thaws it, whatever it is now.
    async fn freeze(
        &self,
        record: &Record,
        container: &ContainerId,
        freeze: bool,
    ) -> Result<(), Error> {
        let agent = self.connect_agent(record).await?;
        let turn = async |freeze| match freeze {
            true => agent.pause_container(container).await,
            false => agent.resume_container(container).await,
        };
        let turned = match turn(freeze).await {
            Err(error) if is_final(error.kind()) => Err(error),
            // Agents refuse what is so already, in words of their own: there and back again tells.
            Err(error) => {
                tracing::debug!(%error, %container, freeze, "refused");
                match turn(!freeze).await {
                    Ok(()) => turn(freeze).await,
                    refused => refused,
                }
            }
            Ok(()) => Ok(()),
        };
        let verb = if freeze { "freeze" } else { "thaw" };
        tolerate_gone(turned).during(|| format!("cannot {verb} container {container}"))
    }

    /// Makes the machine's CPUs do what the record says.
    async fn turn_machine(&self, record: &Record) -> Result<(), Error> {
        let machine = self.machine(record).await?;
        let turned = match record.state {
            SandboxState::Paused => machine.pause().await,
            _ => machine.resume().await,
        };
        match turned {
            // It does already.
            Err(error) if error.kind() == ErrorKind::WrongState => Ok(()),
            turned => turned.during(|| format!("cannot turn the machine of {}", record.id())),
        }
    }

    /// Kills a container in the guest and removes it; succeeds when there is none.
    pub(crate) async fn remove_from_guest(
        &self,
        record: &Record,
        container: &ContainerId,
    ) -> Result<(), Error> {
        let agent = self.connect_agent(record).await?;
        let patience = self.deadlines().stop_guest;
        match agent.kill_all(container).await {
            // Waits that are under way when a container is removed fail: that of its supervisor
            // comes to its end first.
            Ok(()) => {
                let process = ProcessRef::init(container.clone());
                let ended = timeout(patience, agent.wait_process(&process)).await;
                tracing::debug!(%container, ?ended, "killed");
            }
            Err(error) => {
                tracing::debug!(%error, %container, "cannot be killed");
            }
        }
        let removed = agent.remove_container(container, patience).await;
        tolerate_gone(removed).during(|| format!("the guest cannot remove container {container}"))
    }
}

const fn is_removal(intent: &Intent) -> bool {
    matches!(intent, Intent::RemoveInterface(_))
}

/// Notes that a container was killed; its supervisor may not have seen it yet.
fn killed(record: &mut Record, container: &ContainerId) {
    let mut known = record.containers.iter_mut().map(|known| &mut known.status);
    let known = known.find(|known| known.id == *container);
    if let Some(known) = known.filter(|known| known.state != ContainerState::Stopped) {
        known.state = ContainerState::Stopped;
        known.exit_status = Some(KILLED);
    }
}

/// Errors that another call does not help against.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::Gone | ErrorKind::Timeout
    )
}

/// The guest does not know the container: all the better.
fn tolerate_gone(
    result: Result<(), virtcontainers_agent::Error>,
) -> Result<(), virtcontainers_agent::Error> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
