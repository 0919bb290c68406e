//! The line between a creator and the supervisor that it started: a stream between processes, a
//! channel within one. Each side sees the other's end.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::control::{Receiver, Report, Request, Sender};
use crate::error::{Error, ErrorKind};

/// The supervisor's end.
#[derive(Debug)]
pub(super) enum Creator {
    Stream(Sender),
    Channel(UnboundedSender<Box<Report>>),
}

/// What tells the supervisor that the creator is gone.
#[derive(Debug)]
pub(super) enum CreatorGone {
    Stream(Receiver),
    Channel(UnboundedSender<Box<Report>>),
}

/// The creator's end. Dropping it tells the supervisor.
#[derive(Debug)]
pub(super) enum Supervisor {
    Stream {
        receiver: Receiver,
        /// Open for as long as the creator wants the sandbox.
        _sender: Sender,
    },
    /// A channel has room for many messages at once: they are small.
    Channel(UnboundedReceiver<Box<Report>>),
}

/// A line within this process.
pub(super) fn channel() -> (Supervisor, Creator, CreatorGone) {
    let (sender, receiver) = unbounded_channel();
    (
        Supervisor::Channel(receiver),
        Creator::Channel(sender.clone()),
        CreatorGone::Channel(sender),
    )
}

impl Creator {
    /// Tells the creator; `Gone` when it does not listen any more.
    pub(super) async fn send(&mut self, report: Report) -> Result<(), Error> {
        match self {
            Self::Stream(sender) => sender.send(&report).await,
            Self::Channel(sender) => sender
                .send(Box::new(report))
                .map_err(|_| Error::new(ErrorKind::Gone, "the creator is gone")),
        }
    }
}

impl CreatorGone {
    /// Waits until the creator closed its end, or died.
    pub(super) async fn wait(self) {
        match self {
            // It has nothing more to say.
            Self::Stream(mut receiver) => drop(receiver.next::<Request>().await),
            Self::Channel(sender) => sender.closed().await,
        }
    }
}

impl Supervisor {
    /// The next report; `None` when the supervisor has ended. Safe to drop.
    pub(super) async fn next(&mut self) -> Result<Option<Report>, Error> {
        match self {
            Self::Stream { receiver, .. } => receiver.next().await,
            Self::Channel(receiver) => Ok(receiver.recv().await.map(|report| *report)),
        }
    }
}
