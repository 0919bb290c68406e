//! The packets that come in where a test looks, by their sizes.

use std::num::NonZeroU32;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket};
use virtcontainers_tests::Netns;

/// Ethernet's number for IPv4, as packet(7) wants it: as it is on the wire.
const IPV4: u16 = 0x0800_u16.to_be();

/// The protocol number of ICMP.
const ICMP: u8 = 1;

/// A look at all IPv4 packets that come into a namespace, not yet put together from fragments.
pub(super) struct Frames(OwnedFd);

/// One ICMP packet, or a fragment of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its length in bytes, from the head of IP on.
    pub(super) length: u16,
    /// Whether it is not a whole packet.
    pub(super) fragment: bool,
}

impl Frames {
    /// From now on.
    pub(super) fn of(namespace: &Netns) -> Result<Self> {
        let protocol = NonZeroU32::new(IPV4.into()).map(Protocol::from_raw);
        let open = || Ok(socket(AddressFamily::PACKET, SocketType::DGRAM, protocol)?);
        let opened = namespace.inside(open);
        Ok(Self(opened.context("cannot look at packets")?))
    }

    /// The ICMP packets that have come in since.
    pub(super) fn icmp(&self) -> Result<Vec<Frame>> {
        let mut seen = Vec::new();
        let mut head = [0; 20];
        loop {
            match recv(&self.0, &mut head, RecvFlags::DONTWAIT) {
                // What does not fit in is cut off.
                Ok(_) if head[9] == ICMP => seen.push(Frame {
                    length: u16::from_be_bytes([head[2], head[3]]),
                    // More fragments, or an offset; not the bit that forbids fragments.
                    fragment: u16::from_be_bytes([head[6], head[7]]) & 0x3fff != 0,
                }),
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(seen),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
