//! A sandbox that is up: its containers are waited for and their streams carried, until something
//! ends it.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use virtcontainers_agent::ProcessRef;
use virtcontainers_process::ProgramCode;
use virtcontainers_types::{Attachment, ContainerId, ExitStatus, GuestFacts, Lifetime};

use super::control::Exits;
use super::follow::follow;
use super::inbox::{Guest, News, Watch, Wish};
use super::note::{Ended, Watches, note_container_end};
use super::{End, Hosting, Session, carry};
use crate::Agent;
use crate::boot::Ready;
use crate::error::{Error, ErrorKind};
use crate::options::ContainerIo;
use crate::runtime::Runtime;
use crate::terminal;

/// How long the end of the machine may follow the loss of its agent and still be its cause.
const CAUSE_WINDOW: Duration = Duration::from_millis(500);
/// How long nothing may happen before a supervisor rests.
const QUIET: Duration = Duration::from_secs(2);
/// How long to wait before what could not be written is tried again: a disk that is full tells nobody
/// when it is not.
const RETRY: Duration = Duration::from_millis(500);

/// A container, its number among those of its id, and how it ended.
type Carried = (ContainerId, u64, Result<ExitStatus, Error>);

/// The containers that are waited for.
#[derive(Debug)]
struct Containers {
    agent: Agent,
    facts: GuestFacts,
    carried: JoinSet<Carried>,
    waiting: BTreeSet<ContainerId>,
    watches: Watches,
    news: Arc<News>,
}

impl Containers {
    fn new(ready: &Ready, news: &Arc<News>) -> Self {
        Self {
            agent: Arc::clone(&ready.agent),
            facts: ready.facts.clone(),
            carried: JoinSet::new(),
            waiting: BTreeSet::new(),
            watches: Watches::default(),
            news: Arc::clone(news),
        }
    }

    fn watch(&mut self, container: ContainerId, terminal: bool, io: ContainerIo) {
        let process = ProcessRef::init(container.clone());
        let carrier = carry::Carrier::new(Arc::clone(&self.agent), process, terminal, &self.facts);
        // A container may have had this id before.
        self.news.ended.send_if_modified(|ended| {
            ended.exits.remove(&container);
            false
        });
        self.waiting.insert(container.clone());
        let number = self.watches.begin(&container);
        self.carried
            .spawn(async move { (container, number, carrier.carry(io).await) });
    }

    /// The next container that ended; waits for ever when there is none. Safe to drop.
    async fn next(&mut self) -> Result<Ended, Error> {
        loop {
            let (container, number, carried) = match self.carried.join_next().await {
                Some(Ok(carried)) => carried,
                Some(Err(error)) => {
                    let message = "a stream task died";
                    return Err(Error::new(ErrorKind::Internal, message).because(error));
                }
                None => std::future::pending().await,
            };
            let status = match carried {
                Ok(status) => status,
                // The agent answers, and knows no such process: it was removed beside us.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                    tracing::warn!(%error, %container, "the end of a container was not seen");
                    ExitStatus::LOST
                }
                Err(error) => return Err(error),
            };
            // Else its id is another one's by now.
            if self.watches.is_current(&container, number) {
                self.waiting.remove(&container);
                return Ok(Ended {
                    container,
                    number,
                    status,
                });
            }
        }
    }

    /// Kills all containers, lets the rest of their output arrive, and ends the guest.
    async fn wind_down(&mut self, exits: &mut Exits) {
        for container in &self.waiting {
            match self.agent.kill_all(container).await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(%error, %container, "cannot be killed, and is not waited for");
                    return;
                }
                Ok(()) | Err(_) => {}
            }
        }
        while !self.waiting.is_empty() {
            match self.next().await {
                Ok(ended) => {
                    exits.insert(ended.container, ended.status);
                }
                Err(error) => {
                    tracing::debug!(%error, "the end of a container was not seen");
                    return;
                }
            }
        }
        if let Err(error) = self.agent.destroy_sandbox().await {
            tracing::debug!(%error, "the guest did not end as asked");
        }
    }
}

impl Session<'_> {
    /// Waits for whatever ends the sandbox.
    pub(super) async fn attend(&mut self, ready: &Ready, io: ContainerIo) -> End {
        let mut containers = Containers::new(ready, &self.inbox.news);
        let mut io = Some(io);
        for container in &self.begin.config.containers {
            let io = io.take().unwrap_or_default();
            containers.watch(container.id.clone(), container.has_terminal(), io);
        }
        self.forget_specifications();
        let guest = Guest {
            agent: Arc::clone(&ready.agent),
            facts: ready.facts.clone(),
        };
        // Nobody set it before: a supervisor attends once.
        self.inbox.news.guest.set(guest).unwrap_or_default();
        let events = tokio::spawn(tell_out_of_memory(
            Arc::clone(&ready.agent),
            Arc::clone(&self.inbox.news),
        ));
        let following = self.follow(ready).map(tokio::spawn);
        let mut lost = pin!(ready.lost());
        // Beside the loop: whoever holds the lease may be asking for something here.
        let mut notes = JoinSet::new();
        let mut rests = matches!(self.hosting, Hosting::Task(_));
        let end = loop {
            tokio::select! {
                () = sleep(QUIET), if !rests => {
                    rest();
                    rests = true;
                    continue;
                }
                exit = &mut lost => break End::MachineLost(exit),
                ended = containers.next() => match ended {
                    Ok(ended) => {
                        self.exits.insert(ended.container.clone(), ended.status);
                        if self.ends_with(&ended.container) {
                            break End::ContainerEnded;
                        }
                        notes.spawn(self.note_end(containers.watches.clone(), ended));
                    }
                    // The machine's end is the better explanation, if it follows.
                    Err(error) => break match timeout(CAUSE_WINDOW, &mut lost).await {
                        Ok(exit) => End::MachineLost(exit),
                        Err(_) => End::AgentLost(error),
                    },
                },
                Some(_) = notes.join_next() => {}
                (rows, columns) = terminal::size(&mut self.terminal) => {
                    notes.spawn(self.resize(Arc::clone(&ready.agent), rows, columns));
                }
                wish = self.inbox.next() => match wish {
                    Wish::Stop { force, told } => {
                        if !force {
                            let patience = self.begin.plan.machine.deadlines.stop_guest;
                            if timeout(patience, containers.wind_down(&mut self.exits)).await.is_err() {
                                tracing::warn!("the guest did not end its containers in time");
                            }
                        }
                        break End::Stopped(told);
                    }
                    Wish::Terminate => break End::Terminated,
                    Wish::CreatorGone if self.begin.plan.attachment == Attachment::Attached => {
                        break End::CreatorGone;
                    }
                    Wish::CreatorGone | Wish::Stirred => {}
                    Wish::Watch(Watch { container, terminal, io, watched }) => {
                        self.exits.remove(&container);
                        // Another connection created it, and removed those of that id before it.
                        let init = ProcessRef::init(container.clone());
                        ready.agent.adopt(&init, terminal, false);
                        containers.watch(container, terminal, io);
                        // Nobody waits any more if its creator died; it is watched all the same.
                        watched.send(()).unwrap_or_default();
                    }
                },
            }
            rests = matches!(self.hosting, Hosting::Task(_));
        };
        events.abort();
        if let Some(following) = following {
            following.abort();
        }
        end
    }

    /// Follows the interfaces of the namespace, if that is configured.
    fn follow(&self, ready: &Ready) -> Option<impl Future<Output = ()> + Send + 'static> {
        let wanted = self.begin.config.network.follow;
        let namespace = ready.namespace.as_ref().filter(|_| wanted)?;
        match virtcontainers_network::watch(namespace) {
            Ok(watch) => {
                let runtime = Runtime::of(Arc::clone(self.host));
                Some(follow(runtime, self.begin.config.id.clone(), watch))
            }
            Err(error) => {
                tracing::warn!(%error, "the interfaces of the namespace are not followed");
                None
            }
        }
    }

    /// Records the end of a container, then tells those who wait for it: they find the record up to
    /// date.
    fn note_end(
        &self,
        watches: Watches,
        ended: Ended,
    ) -> impl Future<Output = ()> + Send + 'static {
        let store = Arc::clone(&self.host.store);
        let sandbox = self.begin.config.id.clone();
        let deadline = self.begin.plan.machine.deadlines.lock;
        let news = Arc::clone(&self.inbox.news);
        async move {
            let note = || {
                let (store, sandbox) = (Arc::clone(&store), sandbox.clone());
                note_container_end(store, sandbox, deadline, watches.clone(), ended.clone())
            };
            let mut noted = note().await;
            if watches.is_current(&ended.container, ended.number) {
                news.ended.send_modify(|known| {
                    known.exits.insert(ended.container.clone(), ended.status);
                });
            }
            // Nobody else saw it.
            while let Err(error) = noted {
                tracing::error!(%error, "the end of a container cannot be recorded yet");
                sleep(RETRY).await;
                noted = note().await;
            }
        }
    }

    /// Gives the first container's terminal its size.
    fn resize(
        &self,
        agent: Agent,
        rows: u32,
        columns: u32,
    ) -> impl Future<Output = ()> + Send + 'static {
        let first = self.begin.config.containers.first();
        let process = first.map(|first| ProcessRef::init(first.id.clone()));
        async move {
            if let Some(process) = process
                && let Err(error) = agent.tty_win_resize(&process, rows, columns).await
            {
                tracing::debug!(%error, "the terminal is not resized");
            }
        }
    }

    /// They were for the boot, and are the largest part of what a supervisor holds.
    fn forget_specifications(&mut self) {
        for container in &mut self.begin.config.containers {
            let spec = &mut container.spec;
            spec.set_process(None)
                .set_mounts(None)
                .set_linux(None)
                .set_hooks(None);
        }
    }

    /// Whether the sandbox ends with this container.
    fn ends_with(&self, container: &ContainerId) -> bool {
        let first = self.begin.config.containers.first();
        self.begin.config.lifetime == Lifetime::FirstContainer
            && first.is_some_and(|first| first.id == *container)
    }
}

/// Gives back the memory of what a process did that has nothing to do now.
fn rest() {
    if let Err(error) = ProgramCode::locate().and_then(|code| code.release()) {
        tracing::debug!(%error, "memory of code is not given back");
    }
}

async fn tell_out_of_memory(agent: Agent, news: Arc<News>) {
    while let Ok(Some(container)) = agent.get_oom_event().await {
        tracing::warn!(container, "the container ran out of memory");
        if let Ok(container) = ContainerId::new(container) {
            // Nobody may be listening.
            news.out_of_memory.send(container).unwrap_or_default();
        }
    }
}
