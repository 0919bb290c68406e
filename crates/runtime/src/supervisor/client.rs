//! What operations ask of a sandbox's supervisor: within its process directly, from others on the
//! socket in its directory.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use virtcontainers_types::{ContainerId, ExitStatus};

use super::control::{self, Exec, Exits, Receiver, Report, Request, Sender};
use super::inbox::{self, Ended, Watch, Wish};
use super::socket;
use super::tasks::{self, Line};
use crate::error::{Error, ErrorKind};
use crate::options::{ContainerIo, null};

/// Asks the supervisor in `directory` to end its sandbox, and waits until it is gone. `None`:
/// there is none any more; else how the containers ended that it saw. The caller holds the
/// exclusive lease.
///
/// Errors: `Timeout`.
pub(crate) async fn ask_to_stop(
    directory: &Path,
    force: bool,
    deadline: Duration,
) -> Result<Option<Exits>, Error> {
    let asked = async {
        if let Some(line) = tasks::line(directory) {
            return Some(stop_task(&line, force).await);
        }
        let (receiver, sender) = connect(directory).await.ok()?;
        Some(stop_process(receiver, sender, force).await)
    };
    timeout(deadline, asked).await.map_err(|_| {
        let message = format!("the supervisor did not end within {} s", deadline.as_secs());
        Error::new(ErrorKind::Timeout, message)
    })
}

async fn stop_task(line: &Line, force: bool) -> Exits {
    let (told, wait) = oneshot::channel();
    let stop = Wish::Stop { force, told: wait };
    let mut exits = Exits::new();
    if line.wishes.send(stop).await.is_ok() {
        exits = inbox::exits(&line.news, |_| false).await;
    }
    drop::<oneshot::Sender<()>>(told);
    line.wishes.closed().await;
    exits
}

async fn stop_process(mut receiver: Receiver, mut sender: Sender, force: bool) -> Exits {
    let mut exits = Exits::new();
    if sender.send(&Request::Stop { force }).await.is_ok() {
        // It closes the stream when all is undone.
        while let Ok(Some(report)) = receiver.next::<Report>().await {
            if let Report::Exits(seen) = report {
                exits = seen;
            }
        }
    }
    exits
}

/// Waits until the supervisor in `directory` is gone; at once when there is none. Safe to drop.
pub(crate) async fn wait_for_end(directory: &Path) {
    if let Some(line) = tasks::line(directory) {
        line.wishes.closed().await;
    } else if let Ok((mut receiver, _sender)) = connect(directory).await {
        while let Ok(Some(_)) = receiver.next::<Report>().await {}
    }
}

/// Has a new container waited for and its streams carried.
///
/// Errors: `Gone` when the sandbox ends.
pub(crate) async fn watch(
    directory: &Path,
    container: &ContainerId,
    terminal: bool,
    io: ContainerIo,
) -> Result<(), Error> {
    if let Some(line) = tasks::line(directory) {
        let (watched, done) = oneshot::channel();
        let watch = Watch {
            container: container.clone(),
            terminal,
            io,
            watched,
        };
        let told = line.wishes.send(Wish::Watch(watch)).await;
        told.map_err(|_| gone())?;
        return done.await.map_err(|_| gone());
    }
    let request = Request::Watch {
        container: container.clone(),
        terminal,
        stood_for: false,
    };
    let (mut receiver, mut sender) = connect(directory).await?;
    send_with_streams(&mut sender, &request, io).await?;
    match receiver.next::<Report>().await? {
        Some(Report::Done) => Ok(()),
        _ => Err(gone()),
    }
}

/// As [`watch`], and gives the stream that a stand-in for the container takes over. The container
/// is killed when that stream is closed before its end.
///
/// Errors: `Gone` when the sandbox ends.
pub(crate) async fn watch_stood_for(
    directory: &Path,
    container: &ContainerId,
    terminal: bool,
    io: ContainerIo,
) -> Result<UnixStream, Error> {
    let request = Request::Watch {
        container: container.clone(),
        terminal,
        stood_for: true,
    };
    begin_standing(directory, &request, io).await
}

/// Has one more process started in a container, and gives the stream that a stand-in for it takes
/// over. The process is killed when that stream is closed before its end.
///
/// Errors: `Gone` when the sandbox ends; what the guest says of a process that it cannot make.
pub(crate) async fn exec_stood_for(
    directory: &Path,
    exec: Exec,
    io: ContainerIo,
) -> Result<UnixStream, Error> {
    begin_standing(directory, &Request::Exec(Box::new(exec)), io).await
}

async fn begin_standing(
    directory: &Path,
    request: &Request,
    io: ContainerIo,
) -> Result<UnixStream, Error> {
    let (mut receiver, mut sender) = connect(directory).await?;
    send_with_streams(&mut sender, request, io).await?;
    match receiver.next::<Report>().await? {
        Some(Report::Done) => control::rejoin(receiver, sender),
        Some(Report::Failed(error)) => Err(error.into()),
        _ => Err(gone()),
    }
}

/// Streams that lead nowhere all three are not sent: they lead nowhere on the other side too.
async fn send_with_streams(
    sender: &mut Sender,
    request: &Request,
    io: ContainerIo,
) -> Result<(), Error> {
    let streams = match [io.stdin, io.stdout, io.stderr] {
        [None, None, None] => Vec::new(),
        streams => streams
            .into_iter()
            .map(|stream| stream.map_or_else(null, Ok))
            .collect::<Result<Vec<OwnedFd>, Error>>()?,
    };
    let beside: Vec<_> = streams.iter().map(AsFd::as_fd).collect();
    sender.send_with(request, &beside).await
}

/// Waits for a container's end. `None`: the supervisor ended without having seen it. Safe to drop.
///
/// Errors: `Gone` when there is no supervisor.
pub(crate) async fn await_exit(
    directory: &Path,
    container: &ContainerId,
) -> Result<Option<ExitStatus>, Error> {
    if let Some(line) = tasks::line(directory) {
        let ended = |ended: &Ended| ended.exits.contains_key(container);
        let exits = inbox::exits(&line.news, ended).await;
        return Ok(exits.get(container).copied());
    }
    let (mut receiver, mut sender) = connect(directory).await?;
    let request = Request::Await {
        container: container.clone(),
    };
    sender.send(&request).await?;
    match receiver.next::<Report>().await? {
        Some(Report::Exits(exits)) => Ok(exits.get(container).copied()),
        _ => Ok(None),
    }
}

/// Containers that run out of memory, as they do.
#[derive(Debug)]
pub struct OutOfMemoryEvents {
    receiver: Receiver,
    /// The supervisor sees its end.
    _sender: Sender,
}

impl OutOfMemoryEvents {
    /// Begins to listen; what happened before is not told.
    pub(crate) async fn listen(directory: &Path) -> Result<Self, Error> {
        let (mut receiver, mut sender) = connect(directory).await?;
        sender.send(&Request::OutOfMemory).await?;
        match receiver.next::<Report>().await? {
            Some(Report::Done) => Ok(Self {
                receiver,
                _sender: sender,
            }),
            _ => Err(gone()),
        }
    }

    /// The next container that ran out of memory; `None` when the sandbox ends. Safe to drop.
    pub async fn next(&mut self) -> Option<ContainerId> {
        match self.receiver.next::<Report>().await {
            Ok(Some(Report::OutOfMemory(container))) => Some(container),
            _ => None,
        }
    }
}

async fn connect(directory: &Path) -> Result<(Receiver, Sender), Error> {
    let stream = socket::connect(directory).await;
    stream
        .map(control::split)
        .map_err(|error| gone().because(error))
}

fn gone() -> Error {
    Error::new(ErrorKind::Gone, "the sandbox's supervisor has ended")
}
