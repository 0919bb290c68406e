//! What a caller and the supervisor say to each other: one JSON document a line.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use virtcontainers_hypervisor::SavedMachine;
use virtcontainers_types::{GuestFacts, SandboxConfig};

use crate::boot::Phase;
use crate::error::{Error, ErrorKind, WireError};
use crate::plan::SandboxPlan;

/// A message longer than this is refused.
const LONGEST: u64 = 4 << 20;

/// From the caller to the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// The first message on the stream that the supervisor was born with.
    Begin(Box<Begin>),
    /// End the sandbox's machine. The stream is closed when it is gone.
    Stop,
}

/// What the supervisor needs to bring a sandbox up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begin {
    /// What was asked for.
    pub(crate) config: SandboxConfig,
    /// What was decided.
    pub(crate) plan: SandboxPlan,
    /// Start the containers as soon as they are created.
    pub(crate) start: bool,
}

/// From the supervisor to the caller that began it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// A phase was completed.
    Phase {
        /// Which one.
        phase: Phase,
        /// Milliseconds that it took.
        millis: u64,
    },
    /// The sandbox is up.
    Up(Up),
    /// It is not, and everything was undone.
    Failed(WireError),
}

/// What a sandbox that came up is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Up {
    pub(crate) machine: SavedMachine,
    pub(crate) facts: GuestFacts,
}

/// The reading half of a control stream.
#[derive(Debug)]
pub(crate) struct Receiver(BufReader<OwnedReadHalf>);

/// The writing half of a control stream.
#[derive(Debug)]
pub(crate) struct Sender(OwnedWriteHalf);

/// Splits a control stream into its halves.
pub(crate) fn split(stream: UnixStream) -> (Receiver, Sender) {
    let (read, write) = stream.into_split();
    (Receiver(BufReader::new(read)), Sender(write))
}

impl Receiver {
    /// The next message; `None` when the peer is gone. Dropping the future may lose a message that
    /// arrived in part, so it is only dropped together with the stream.
    pub(crate) async fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, Error> {
        let mut line = Vec::new();
        let read = (&mut self.0)
            .take(LONGEST)
            .read_until(b'\n', &mut line)
            .await;
        match read {
            Ok(0) => Ok(None),
            // A peer that died in the middle of a line said nothing.
            Ok(_) if line.last() != Some(&b'\n') => Ok(None),
            Ok(_) => serde_json::from_slice(&line).map(Some).map_err(|error| {
                Error::new(
                    ErrorKind::Incompatible,
                    "cannot understand the supervisor's message",
                )
                .because(error)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(
                Error::new(ErrorKind::Internal, "cannot read from the supervisor").because(error),
            ),
        }
    }
}

impl Sender {
    /// Sends one message; `Gone` when the peer does not read any more.
    pub(crate) async fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        let mut line = serde_json::to_vec(message).map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot write a control message").because(error)
        })?;
        line.push(b'\n');
        self.0.write_all(&line).await.map_err(|error| {
            Error::new(
                ErrorKind::Gone,
                "the other side of the control stream is gone",
            )
            .because(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_in_order_and_the_end_is_seen() {
        let (a, b) = UnixStream::pair().unwrap();
        let (_, mut sender) = split(a);
        let (mut receiver, _keep) = split(b);
        let phase = Report::Phase {
            phase: Phase::Launch,
            millis: 7,
        };
        sender.send(&phase).await.unwrap();
        sender.send(&Request::Stop).await.unwrap();
        assert_eq!(receiver.next::<Report>().await.unwrap(), Some(phase));
        assert_eq!(
            receiver.next::<Request>().await.unwrap(),
            Some(Request::Stop)
        );
        drop(sender);
    }

    #[tokio::test]
    async fn half_a_message_is_the_end_not_an_error() {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (mut receiver, _keep) = split(b);
        a.write_all(b"{\"st").await.unwrap();
        drop(a);
        assert_eq!(receiver.next::<Request>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (mut receiver, _keep) = split(b);
        a.write_all(b"{\"launch\":1}\n").await.unwrap();
        let error = receiver.next::<Request>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible);
    }
}
