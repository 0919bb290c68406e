//! Messages between the agent, the spawner and the processes that it clones.
//!
//! All sockets are `SOCK_SEQPACKET` pairs, so a message is a packet and needs no framing.
//! Descriptors travel beside the bytes. A plan may be larger than a packet, so it travels as a
//! sealed memory file.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::error::EngineError;

/// Largest packet; longer error messages are cut.
const LARGEST: usize = 32 * 1024;

/// Most descriptors in one packet.
pub(crate) const MOST_FDS: usize = 8;

/// Asks the spawner for a process. The descriptors, in order: reply socket, plan, cgroup folder,
/// then, as said here, the pid namespace to enter, then stdin, stdout and stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpawnRequest {
    /// Which set-up the new process runs.
    pub(crate) role: Role,
    /// `CLONE_NEW*` flags.
    pub(crate) namespaces: u64,
    /// Whether a descriptor names the pid namespace to start in: a namespace file, or a pidfd.
    pub(crate) join_pid: bool,
    /// Whether there are descriptors for the standard streams.
    pub(crate) pipes: bool,
}

/// What a cloned process is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// The first process of a container.
    Init,
    /// One more process in the container of the pidfd given.
    Exec,
}

/// What comes back on the reply socket, from the spawner first or from the new process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// From the spawner: the process exists; its pidfd is beside the message.
    Cloned {
        /// Number of the process in the agent's pid namespace.
        pid: i32,
    },
    /// Set up; an init waits for the order to go. The terminal's master may be beside it.
    Ready,
    /// All is done but `execve`; the socket closes when that succeeds.
    Running,
    /// It did not work; the process has ended or is about to.
    Failed(EngineError),
}

/// What the agent tells an init. (A type without contents would be an empty packet, which looks
/// like the end.)
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Go {
    /// Run the program.
    Now,
}

/// Sends one packet. Blocks only while the peer's queue is full.
///
/// # Errors
/// Those of sendmsg(2); `PIPE` when the peer is gone.
pub(crate) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let bytes = postcard::to_allocvec(message).map_err(|_| Errno::INVAL)?;
    if bytes.len() > LARGEST {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::MSGSIZE);
    }
    let flags = SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, flags))?;
    Ok(())
}

/// Receives one packet. `None`: the peer has closed.
///
/// # Errors
/// Those of recvmsg(2), `AGAIN` on a socket that does not block; `BADMSG` for a packet that is
/// not of this kind.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> Result<Option<(T, Vec<OwnedFd>)>, Errno> {
    let mut bytes = vec![0; LARGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            flags,
        )
    })?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let message = postcard::from_bytes(&bytes[..received.bytes]).map_err(|_| Errno::BADMSG)?;
    Ok(Some((message, fds)))
}

/// Cuts an error so that it fits a packet.
pub(crate) fn fitting(error: EngineError) -> EngineError {
    let text = error.to_string();
    let most = LARGEST / 2;
    if text.len() <= most {
        return error;
    }
    let cut = (0..=most)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    EngineError::new(error.kind(), &text[..cut])
}
