//! What is still to be sent, in order, with the descriptors that go along.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Lines on their way to QEMU.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Parcel>);

/// A line, of which a part may be sent already. The descriptor goes with its first byte.
#[derive(Debug)]
struct Parcel {
    line: Vec<u8>,
    sent: usize,
    descriptor: Option<OwnedFd>,
}

impl Outbox {
    pub(super) fn push(&mut self, line: Vec<u8>, descriptor: Option<OwnedFd>) {
        let sent = 0;
        self.0.push_back(Parcel {
            line,
            sent,
            descriptor,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends as much as the socket takes now.
    pub(super) fn send(&mut self, stream: &UnixStream) -> io::Result<()> {
        while let Some(parcel) = self.0.front_mut() {
            match parcel.send(stream) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if parcel.sent == parcel.line.len() {
                self.0.pop_front();
            }
        }
        Ok(())
    }
}

impl Parcel {
    fn send(&mut self, stream: &UnixStream) -> io::Result<()> {
        let rest = self.line.get(self.sent..).unwrap_or_default();
        let sent = match &self.descriptor {
            None => stream.try_write(rest)?,
            Some(descriptor) => stream.try_io(Interest::WRITABLE, || {
                let passed = [descriptor.as_fd()];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !control.push(SendAncillaryMessage::ScmRights(&passed)) {
                    return Err(io::Error::other("a message has no room for a descriptor"));
                }
                let bytes = [IoSlice::new(rest)];
                let sent = sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL)?;
                Ok(sent)
            })?,
        };
        // It has left with the first byte, or everything is to be sent once more.
        if sent > 0 {
            self.descriptor = None;
        }
        self.sent += sent;
        Ok(())
    }
}
