//! What a caller and the supervisor say to each other: one JSON document a line, some with
//! descriptors beside it (unix(7), `SCM_RIGHTS`).

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;
use virtcontainers_hypervisor::SavedMachine;
use virtcontainers_types::{ContainerId, ExitStatus, GuestFacts, SandboxConfig};

use crate::boot::Phase;
use crate::error::{Error, ErrorKind, WireError};
use crate::network::Attached;
use crate::plan::SandboxPlan;

/// A message longer than this is refused.
const LONGEST: usize = 16 << 20;
/// As much is read at a time.
const PART: usize = 16 << 10;
/// More descriptors than these come with no message: three streams.
const MOST_DESCRIPTORS: usize = 3;

/// From a caller to the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// The first message on the stream that the supervisor was born with.
    Begin(Box<Begin>),
    /// End the sandbox's machine. The statuses of its containers are answered, and the stream is
    /// closed when all is gone.
    Stop {
        /// The guest is not asked, its machine is ended at once.
        force: bool,
    },
    /// Wait for a container that was created now, and carry its streams: three descriptors come
    /// with this. [`Report::Done`] is answered.
    Watch {
        container: ContainerId,
        terminal: bool,
        /// A stand-in takes this stream over.
        #[serde(default)]
        stood_for: bool,
    },
    /// Start one more process in a container, and carry its streams: three descriptors come with
    /// this. [`Report::Done`] is answered, and a stand-in takes the stream over; or
    /// [`Report::Failed`].
    Exec(Box<Exec>),
    /// From a stand-in: it is there. [`Report::Ended`] is answered when its process has ended. If the
    /// stream closes before, the process is killed.
    Stand,
    /// From a stand-in: the size of its process's terminal, in characters.
    Resize { rows: u32, columns: u32 },
    /// From a stand-in: a signal for its process.
    Signal { signal: u32 },
    /// Answer with [`Report::Exits`] when this container has ended.
    Await { container: ContainerId },
    /// Answer with a [`Report::OutOfMemory`] for each container that runs out of memory.
    OutOfMemory,
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
    /// The first container's streams are a terminal that is the supervisor's alone.
    #[serde(default)]
    pub(crate) own_terminal: bool,
}

/// A process to start in a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exec {
    pub(crate) container: ContainerId,
    pub(crate) process: oci_spec::runtime::Process,
}

/// How containers ended.
pub(crate) type Exits = BTreeMap<ContainerId, ExitStatus>;

/// From the supervisor to a caller.
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
    /// What was asked is done.
    Done,
    /// Containers that have ended.
    Exits(Exits),
    /// A container ran out of memory.
    OutOfMemory(ContainerId),
    /// The process of a stand-in has ended.
    Ended(ExitStatus),
    /// The process of a stand-in was lost, and why.
    Lost(String),
}

/// What a sandbox that came up is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Up {
    pub(crate) machine: SavedMachine,
    pub(crate) facts: GuestFacts,
    pub(crate) network: Attached,
}

/// The stream again, when nothing more of it was read than was given out.
pub(crate) fn rejoin(receiver: Receiver, sender: Sender) -> Result<UnixStream, Error> {
    let misread = || {
        let message = "the supervisor spoke out of turn";
        Error::new(ErrorKind::Incompatible, message)
    };
    if !receiver.buffer.is_empty() {
        return Err(misread());
    }
    drop(sender);
    Arc::try_unwrap(receiver.stream).map_err(|_| misread())
}

/// The reading side of a control stream.
#[derive(Debug)]
pub(crate) struct Receiver {
    stream: Arc<UnixStream>,
    buffer: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

/// The writing side of a control stream, which is open as long as one of both sides is.
#[derive(Debug, Clone)]
pub(crate) struct Sender(Arc<UnixStream>);

/// Splits a control stream into its sides.
pub(crate) fn split(stream: UnixStream) -> (Receiver, Sender) {
    let stream = Arc::new(stream);
    let receiver = Receiver {
        stream: Arc::clone(&stream),
        buffer: Vec::new(),
        descriptors: VecDeque::new(),
    };
    (receiver, Sender(stream))
}

impl Receiver {
    /// The next message; `None` when the peer is gone, in the middle of a line too. Safe to drop.
    pub(crate) async fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, Error> {
        let mut seen = 0;
        loop {
            let end = self.buffer[seen..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let rest = self.buffer.split_off(seen + end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                return serde_json::from_slice(&line).map(Some).map_err(|error| {
                    let message = "cannot understand the supervisor's message";
                    Error::new(ErrorKind::Incompatible, message).because(error)
                });
            }
            seen = self.buffer.len();
            if seen > LONGEST {
                let message = "a control message is too long";
                return Err(Error::new(ErrorKind::Incompatible, message));
            }
            match self.read().await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => {
                    let message = "cannot read from the supervisor";
                    return Err(Error::new(ErrorKind::Internal, message).because(error));
                }
            }
        }
    }

    /// The next descriptor that came with a message.
    pub(crate) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    async fn read(&mut self) -> io::Result<usize> {
        let Self {
            stream,
            buffer,
            descriptors,
        } = self;
        let mut receive = || {
            let mut part = [0; PART];
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                stream.as_fd(),
                &mut [IoSliceMut::new(&mut part)],
                &mut beside,
                RecvFlags::CMSG_CLOEXEC,
            )?;
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            buffer.extend_from_slice(&part[..received.bytes]);
            Ok(received.bytes)
        };
        stream.async_io(Interest::READABLE, &mut receive).await
    }
}

impl Sender {
    /// Sends one message; `Gone` when the peer does not read any more.
    pub(crate) async fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        self.send_with(message, &[]).await
    }

    /// Sends one message with descriptors, at most three.
    pub(crate) async fn send_with(
        &mut self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        let mut line = serde_json::to_vec(message).map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot write a control message").because(error)
        })?;
        line.push(b'\n');
        self.write(&line, descriptors).await.map_err(|error| {
            let message = "the other side of the control stream is gone";
            Error::new(ErrorKind::Gone, message).because(error)
        })
    }

    /// The descriptors go with the first byte.
    async fn write(&self, mut line: &[u8], mut beside: &[BorrowedFd<'_>]) -> io::Result<()> {
        while !line.is_empty() {
            let mut send = || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                if !beside.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(beside)) {
                    return Err(io::Error::other("too many descriptors for one message"));
                }
                let parts = [IoSlice::new(line)];
                Ok(sendmsg(
                    self.0.as_fd(),
                    &parts,
                    &mut ancillary,
                    SendFlags::NOSIGNAL,
                )?)
            };
            let sent = self.0.async_io(Interest::WRITABLE, &mut send).await?;
            line = &line[sent..];
            beside = &[];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: Request = Request::Stop { force: true };

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
        sender.send(&STOP).await.unwrap();
        drop(sender);
        assert_eq!(receiver.next::<Report>().await.unwrap(), Some(phase));
        assert_eq!(receiver.next::<Request>().await.unwrap(), Some(STOP));
        assert_eq!(receiver.next::<Request>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn descriptors_come_with_their_message() {
        use std::io::{Read, Write};
        let (a, b) = UnixStream::pair().unwrap();
        let (_, mut sender) = split(a);
        let (mut receiver, _keep) = split(b);
        let (mut read, write) = io::pipe().unwrap();
        sender.send(&STOP).await.unwrap();
        sender.send_with(&STOP, &[write.as_fd()]).await.unwrap();
        drop(write);
        assert_eq!(receiver.next::<Request>().await.unwrap(), Some(STOP));
        assert_eq!(receiver.next::<Request>().await.unwrap(), Some(STOP));
        let mut write = std::fs::File::from(receiver.descriptor().unwrap());
        write.write_all(b"hello").unwrap();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert!(receiver.descriptor().is_none());
    }

    #[tokio::test]
    async fn a_long_message_arrives_in_parts() {
        let (a, b) = UnixStream::pair().unwrap();
        let (_, mut sender) = split(a);
        let (mut receiver, _keep) = split(b);
        let text = "x".repeat(1 << 20);
        let (sent, received) = tokio::join!(sender.send(&text), receiver.next::<String>());
        sent.unwrap();
        assert_eq!(received.unwrap(), Some(text));
    }

    #[tokio::test]
    async fn half_a_message_is_the_end_not_an_error() {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (mut receiver, _keep) = split(b);
        tokio::io::AsyncWriteExt::write_all(&mut a, b"{\"st")
            .await
            .unwrap();
        drop(a);
        assert_eq!(receiver.next::<Request>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (mut receiver, _keep) = split(b);
        tokio::io::AsyncWriteExt::write_all(&mut a, b"{\"launch\":1}\n")
            .await
            .unwrap();
        let error = receiver.next::<Request>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible);
    }
}
