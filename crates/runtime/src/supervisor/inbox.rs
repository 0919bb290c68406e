//! What reaches a supervisor from outside: its creator's end, and requests to stop it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Hosting;
use super::control::{self, Receiver, Request};
use crate::error::{Error, ErrorKind};
use crate::paths::SUPERVISOR_SOCKET;

/// How many callers may be connected at a time; more wait.
const MOST_CALLERS: usize = 256;

/// Something that a supervisor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// The creator closed its stream, or died.
    CreatorGone,
    /// Somebody who holds the lease asks for the end.
    Stop,
    /// The process got SIGTERM.
    Terminate,
}

/// Where wishes arrive. Dropping it closes all callers' streams.
#[derive(Debug)]
pub(super) struct Inbox {
    wishes: mpsc::Receiver<Wish>,
    _tasks: JoinSet<()>,
}

impl Inbox {
    /// Listens to the creator and on the supervisor's socket in `directory`, and for SIGTERM when the
    /// process is the supervisor's own.
    pub(super) fn open(
        creator: Receiver,
        directory: &Path,
        hosting: Hosting,
    ) -> Result<Self, Error> {
        let listener = bind(directory).map_err(|error| {
            let message = format!("cannot listen in {}", directory.display());
            Error::new(ErrorKind::Internal, message).because(error)
        })?;
        let (sender, wishes) = mpsc::channel(MOST_CALLERS);
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_creator(creator, sender.clone()));
        if hosting == Hosting::Process {
            let terminate = signal(SignalKind::terminate()).map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot listen for SIGTERM").because(error)
            })?;
            tasks.spawn(watch_signal(terminate, sender.clone()));
        }
        tasks.spawn(listen(listener, sender));
        Ok(Self {
            wishes,
            _tasks: tasks,
        })
    }

    /// The next wish; waits for ever when there is none. Safe to drop.
    pub(super) async fn next(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }
}

async fn watch_creator(mut creator: Receiver, wishes: mpsc::Sender<Wish>) {
    let wish = match creator.next::<Request>().await {
        Ok(Some(Request::Stop)) => Wish::Stop,
        Ok(Some(Request::Begin(_)) | None) | Err(_) => Wish::CreatorGone,
    };
    // A supervisor that is ending does not listen any more, which is as good.
    wishes.send(wish).await.unwrap_or_default();
}

async fn watch_signal(mut terminate: Signal, wishes: mpsc::Sender<Wish>) {
    if terminate.recv().await.is_some() {
        wishes.send(Wish::Terminate).await.unwrap_or_default();
    }
}

async fn listen(listener: UnixListener, wishes: mpsc::Sender<Wish>) {
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if callers.len() < MOST_CALLERS => match accepted {
                Ok((stream, _)) => {
                    callers.spawn(serve(stream, wishes.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the supervisor's socket failed");
                    return;
                }
            },
            Some(_) = callers.join_next() => {}
        }
    }
}

/// A caller either asks for the end, or just keeps its stream open to see it.
async fn serve(stream: UnixStream, wishes: mpsc::Sender<Wish>) {
    let (mut receiver, sender) = control::split(stream);
    while let Ok(Some(request)) = receiver.next::<Request>().await {
        if request == Request::Stop {
            wishes.send(Wish::Stop).await.unwrap_or_default();
        }
    }
    drop(sender);
}

/// Asks the supervisor in `directory` to end its sandbox, and waits until it is gone. `false`:
/// there is none any more. The caller holds the exclusive lease.
///
/// Errors: `Timeout`.
pub(crate) async fn ask_to_stop(directory: &Path, deadline: Duration) -> Result<bool, Error> {
    let Ok(stream) = connect(directory).await else {
        return Ok(false);
    };
    let (mut receiver, mut sender) = control::split(stream);
    let asked = async {
        if sender.send(&Request::Stop).await.is_ok() {
            // It says nothing; it closes the stream when all is undone.
            while let Ok(Some(_)) = receiver.next::<Request>().await {}
        }
    };
    timeout(deadline, asked).await.map(|()| true).map_err(|_| {
        let message = format!("the supervisor did not end within {} s", deadline.as_secs());
        Error::new(ErrorKind::Timeout, message)
    })
}

/// Waits until the supervisor in `directory` is gone; at once when there is none. Safe to drop.
pub(crate) async fn wait_for_end(directory: &Path) {
    if let Ok(mut stream) = connect(directory).await {
        let mut byte = [0];
        while let Ok(1..) = stream.read(&mut byte).await {}
    }
}

/// Socket names are limited to 107 bytes (unix(7)), paths are not: the directory is reached through
/// a descriptor.
fn short_name(directory: &Path) -> std::io::Result<(OwnedFd, String)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let name = format!(
        "/proc/self/fd/{}/{SUPERVISOR_SOCKET}",
        directory.as_raw_fd()
    );
    Ok((directory, name))
}

fn bind(directory: &Path) -> std::io::Result<UnixListener> {
    let (_keep, name) = short_name(directory)?;
    UnixListener::bind(name)
}

async fn connect(directory: &Path) -> std::io::Result<UnixStream> {
    let (_keep, name) = short_name(directory)?;
    UnixStream::connect(name).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(directory: &Path) -> (Inbox, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (receiver, sender) = control::split(theirs);
        std::mem::forget(sender);
        (
            Inbox::open(receiver, directory, Hosting::Task).unwrap(),
            ours,
        )
    }

    #[tokio::test]
    async fn the_creators_end_is_a_wish() {
        let directory = tempfile::tempdir().unwrap();
        let (mut inbox, creator) = inbox(directory.path());
        drop(creator);
        assert_eq!(inbox.next().await, Wish::CreatorGone);
    }

    #[tokio::test]
    async fn a_stop_is_a_wish_and_the_end_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        // Longer than a socket's name may be.
        let deep = directory.path().join("d".repeat(200));
        std::fs::create_dir(&deep).unwrap();
        let (mut inbox, _creator) = inbox(&deep);
        let asked = ask_to_stop(&deep, Duration::from_secs(10));
        let supervised = async {
            assert_eq!(inbox.next().await, Wish::Stop);
            drop(inbox);
        };
        let (asked, ()) = tokio::join!(asked, supervised);
        assert!(asked.unwrap());
        assert!(!ask_to_stop(&deep, Duration::from_secs(10)).await.unwrap());
    }
}
