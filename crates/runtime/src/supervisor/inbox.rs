//! What reaches a supervisor from outside: its creator's end, signals, and what callers ask on its
//! socket.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use virtcontainers_types::{ContainerId, GuestFacts};

use super::Hosting;
use super::control::{self, Exits, Report, Request, Sender};
use super::creator::CreatorGone;
use super::socket;
use super::standing;
use super::tasks::Line;
use crate::Agent;
use crate::error::{Error, ErrorKind};
use crate::options::ContainerIo;

/// How many callers may be connected at a time; more wait.
const MOST_CALLERS: usize = 4096;
/// Events of containers that ran out of memory which a slow listener may miss at most.
const MOST_EVENTS: usize = 16;

/// Something that a supervisor is told.
#[derive(Debug)]
pub(super) enum Wish {
    /// The creator closed its stream, or died.
    CreatorGone,
    /// Somebody who holds the lease asks for the end.
    Stop {
        /// At once, without asking the guest.
        force: bool,
        /// Resolves when the caller was told how containers ended, or is gone.
        told: oneshot::Receiver<()>,
    },
    /// The process got SIGTERM.
    Terminate,
    /// A container was created that is to be waited for.
    Watch(Watch),
    /// Somebody was served.
    Stirred,
}

/// A container that is to be waited for.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) container: ContainerId,
    pub(super) terminal: bool,
    pub(super) io: ContainerIo,
    /// Told when it is watched.
    pub(super) watched: oneshot::Sender<()>,
}

/// What the supervisor lets everybody know who asks.
#[derive(Debug)]
pub(super) struct News {
    /// The guest, once it is up.
    pub(super) guest: OnceLock<Guest>,
    /// The containers that ended.
    pub(super) ended: watch::Sender<Ended>,
    /// The containers that ran out of memory.
    pub(super) out_of_memory: broadcast::Sender<ContainerId>,
}

/// A guest that is up.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) agent: Agent,
    pub(super) facts: GuestFacts,
}

/// How containers ended so far.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) exits: Exits,
    /// The sandbox is at its end; there will be no more.
    pub(super) complete: bool,
    /// What was lost, when that is why it is.
    pub(super) lost: Option<String>,
}

impl News {
    fn new() -> Self {
        Self {
            guest: OnceLock::new(),
            ended: watch::Sender::new(Ended::default()),
            out_of_memory: broadcast::Sender::new(MOST_EVENTS),
        }
    }
}

/// Where wishes arrive. Dropping it closes all callers' streams.
#[derive(Debug)]
pub(super) struct Inbox {
    wishes: mpsc::Receiver<Wish>,
    pub(super) news: Arc<News>,
    /// Closed when no stand-in is left to be told of the end.
    standing: mpsc::Receiver<Infallible>,
    _tasks: JoinSet<()>,
}

impl Inbox {
    /// Listens to the creator and on the supervisor's socket in `directory`, and for SIGTERM when the
    /// process is the supervisor's own.
    pub(super) fn open(
        creator: CreatorGone,
        directory: &Path,
        hosting: Hosting<'_>,
    ) -> Result<Self, Error> {
        let listener = socket::bind(directory).map_err(|error| {
            let message = format!("cannot listen in {}", directory.display());
            Error::new(ErrorKind::Internal, message).because(error)
        })?;
        let (sender, wishes) = mpsc::channel(MOST_CALLERS);
        let news = Arc::new(News::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_creator(creator, sender.clone()));
        match hosting {
            Hosting::Process => {
                tasks.spawn(watch_signal(terminations()?, sender.clone()));
            }
            Hosting::Task(attendance) => attendance.listen(Line {
                wishes: sender.clone(),
                news: Arc::clone(&news),
            }),
        }
        let (present, standing) = mpsc::channel(1);
        let desk = Desk {
            wishes: sender,
            news: Arc::clone(&news),
            present: present.downgrade(),
        };
        tasks.spawn(listen(listener, desk, present));
        Ok(Self {
            wishes,
            news,
            standing,
            _tasks: tasks,
        })
    }

    /// Waits until all stand-ins were told how their processes ended, for at most as long as
    /// `patience`. The news must be complete.
    pub(super) async fn dismiss(&mut self, patience: Duration) {
        if timeout(patience, self.standing.recv()).await.is_err() {
            tracing::warn!("a stand-in was not told of the end");
        }
    }

    /// The next wish; waits for ever when there is none. Safe to drop.
    pub(super) async fn next(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }
}

async fn watch_creator(creator: CreatorGone, wishes: mpsc::Sender<Wish>) {
    creator.wait().await;
    // A supervisor that is ending does not listen any more, which is as good.
    wishes.send(Wish::CreatorGone).await.unwrap_or_default();
}

fn terminations() -> Result<Signal, Error> {
    signal(SignalKind::terminate()).map_err(|error| {
        Error::new(ErrorKind::Internal, "cannot listen for SIGTERM").because(error)
    })
}

async fn watch_signal(mut terminate: Signal, wishes: mpsc::Sender<Wish>) {
    if terminate.recv().await.is_some() {
        wishes.send(Wish::Terminate).await.unwrap_or_default();
    }
}

/// What those need who serve callers.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) news: Arc<News>,
    /// Held by each who serves a stand-in.
    present: mpsc::WeakSender<Infallible>,
}

impl Desk {
    /// `None`: the sandbox is at its end.
    pub(super) fn presence(&self) -> Option<mpsc::Sender<Infallible>> {
        self.present.upgrade()
    }
}

/// Holds `present` until the end is known.
async fn listen(listener: UnixListener, desk: Desk, present: mpsc::Sender<Infallible>) {
    let mut present = Some(present);
    let mut ended = desk.news.ended.subscribe();
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if callers.len() < MOST_CALLERS => match accepted {
                Ok((stream, _)) => {
                    callers.spawn(serve(stream, desk.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the supervisor's socket failed");
                    return;
                }
            },
            Some(_) = callers.join_next() => {}
            Ok(_) = ended.wait_for(|ended| ended.complete), if present.is_some() => present = None,
        }
    }
}

/// A caller asks one thing after the other, each after the last answer, or just keeps its stream
/// open to see the end.
async fn serve(stream: UnixStream, desk: Desk) {
    let (mut receiver, mut sender) = control::split(stream);
    while let Ok(Some(request)) = receiver.next::<Request>().await {
        let streams = [(); 3].map(|()| receiver.descriptor());
        let request = match standing::Asked::of(request) {
            Ok(asked) => return standing::serve(asked, streams, (receiver, sender), &desk).await,
            Err(other) => *other,
        };
        let Desk { wishes, news, .. } = &desk;
        let served = tokio::select! {
            served = answer(request, streams, &mut sender, wishes, news) => served,
            // It left, or talks out of turn.
            _ = receiver.next::<Request>() => return,
        };
        wishes.send(Wish::Stirred).await.unwrap_or_default();
        if served.is_err() {
            return;
        }
    }
}

async fn answer(
    request: Request,
    [stdin, stdout, stderr]: [Option<OwnedFd>; 3],
    sender: &mut Sender,
    wishes: &mpsc::Sender<Wish>,
    news: &News,
) -> Result<(), Error> {
    match request {
        Request::Begin(_)
        | Request::Exec(_)
        | Request::Stand
        | Request::Resize { .. }
        | Request::Signal { .. } => {
            let message = "a request out of turn";
            Err(Error::new(ErrorKind::Invalid, message))
        }
        Request::Stop { force } => {
            let (_telling, told) = oneshot::channel();
            let stop = Wish::Stop { force, told };
            wishes.send(stop).await.unwrap_or_default();
            let exits = exits(news, |_| false).await;
            sender.send(&Report::Exits(exits)).await
        }
        Request::Watch {
            container,
            terminal,
            ..
        } => {
            let io = ContainerIo::new(stdin, stdout, stderr);
            watch(wishes, container, terminal, io).await?;
            sender.send(&Report::Done).await
        }
        Request::Await { container } => {
            let exits = exits(news, |ended| ended.exits.contains_key(&container)).await;
            sender.send(&Report::Exits(exits)).await
        }
        Request::OutOfMemory => tell_out_of_memory(sender, news).await,
    }
}

/// Has a container waited for.
pub(super) async fn watch(
    wishes: &mpsc::Sender<Wish>,
    container: ContainerId,
    terminal: bool,
    io: ContainerIo,
) -> Result<(), Error> {
    let over = || Error::new(ErrorKind::Gone, "the supervisor is ending");
    let (watched, done) = oneshot::channel();
    let watch = Watch {
        container,
        terminal,
        io,
        watched,
    };
    wishes.send(Wish::Watch(watch)).await.map_err(|_| over())?;
    done.await.map_err(|_| over())
}

/// The exits so far, once `enough` of them are there or no more will be.
pub(super) async fn exits(news: &News, enough: impl Fn(&Ended) -> bool) -> Exits {
    let mut ended = news.ended.subscribe();
    let seen = ended
        .wait_for(|ended| ended.complete || enough(ended))
        .await
        .map(|ended| ended.exits.clone());
    seen.unwrap_or_default()
}

async fn tell_out_of_memory(sender: &mut Sender, news: &News) -> Result<(), Error> {
    use broadcast::error::RecvError;
    let mut events = news.out_of_memory.subscribe();
    sender.send(&Report::Done).await?;
    loop {
        match events.recv().await {
            Ok(container) => sender.send(&Report::OutOfMemory(container)).await?,
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "events were missed"),
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::client;
    use super::super::creator::{self, Supervisor};
    use super::super::tasks::Attendance;
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    /// An inbox that is reached by its socket, as in another process.
    fn inbox(directory: &Path) -> (Inbox, Supervisor) {
        let (creator, _, gone) = creator::channel();
        let task = Attendance::begin("/somewhere/else".into());
        (
            Inbox::open(gone, directory, Hosting::Task(&task)).unwrap(),
            creator,
        )
    }

    #[tokio::test]
    async fn the_creators_end_is_a_wish() {
        let directory = tempfile::tempdir().unwrap();
        let (mut inbox, creator) = inbox(directory.path());
        drop(creator);
        assert!(matches!(inbox.next().await, Wish::CreatorGone));
    }

    #[tokio::test]
    async fn a_stop_is_a_wish_and_the_end_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        // Longer than a socket's name may be.
        let deep = directory.path().join("d".repeat(200));
        std::fs::create_dir(&deep).unwrap();
        let (mut inbox, _creator) = inbox(&deep);
        let container = ContainerId::new("c").unwrap();
        let asked = client::ask_to_stop(&deep, false, LONG);
        let supervised = async {
            let Wish::Stop { force: false, told } = inbox.next().await else {
                panic!("not a stop");
            };
            inbox.news.ended.send_modify(|ended| {
                ended
                    .exits
                    .insert(container.clone(), virtcontainers_types::ExitStatus(3));
                ended.complete = true;
            });
            told.await.unwrap_err();
            drop(inbox);
        };
        let (asked, ()) = tokio::join!(asked, supervised);
        let exits = asked.unwrap().unwrap();
        assert_eq!(exits[&container].0, 3);
        assert!(
            client::ask_to_stop(&deep, true, LONG)
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn those_who_wait_learn_of_the_end_of_a_container() {
        let directory = tempfile::tempdir().unwrap();
        let (inbox, _creator) = inbox(directory.path());
        let container = ContainerId::new("c").unwrap();
        let ends = async {
            inbox.news.ended.send_modify(|ended| {
                ended
                    .exits
                    .insert(container.clone(), virtcontainers_types::ExitStatus(7));
            });
        };
        let (status, ()) = tokio::join!(client::await_exit(directory.path(), &container), ends);
        assert_eq!(status.unwrap().map(|status| status.0), Some(7));
    }
}
