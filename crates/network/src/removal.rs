//! Removing links that we made, without waiting for what the kernel does afterwards.
//!
//! The kernel takes a link out of its namespace within a millisecond and tells so (`RTM_DELLINK`).
//! Whoever asked is kept for much longer, until no processor can use the link's memory any more
//! (`netdev_run_todo` in net/core/dev.c): about fifteen milliseconds for each link. So a thread of its
//! own asks for each, and the news are enough for us. A process that ends then is kept as long.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::link;
use crate::netlink::Netlink;

#[cfg(test)]
mod tests;

/// `RTMGRP_LINK` (linux/rtnetlink.h).
const LINKS: u32 = 0x1;

/// Removes links of the calling thread's namespace, and returns when they are out of it. Those that
/// are not there are no error.
pub(crate) fn remove(indexes: BTreeSet<u32>) -> io::Result<()> {
    if indexes.is_empty() {
        return Ok(());
    }
    // From before the first removal, so that no news are missed.
    let mut news = Socket::new(NETLINK_ROUTE)?;
    news.set_non_blocking(true)?;
    news.bind(&SocketAddr::new(0, LINKS))?;
    let (ended, end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (tell, told) = channel();
    for index in &indexes {
        ask(*index, tell.clone(), end.try_clone()?)?;
    }
    drop((tell, end));
    wait(&news, indexes, &ended, &told)
}

/// Asks for a removal on a thread of its own, which the kernel keeps for a while. It is in the
/// namespace of the calling one; `end` is closed when all of them have ended.
fn ask(index: u32, tell: Sender<io::Result<u32>>, end: OwnedFd) -> io::Result<()> {
    let work = move || {
        let removed = Netlink::open().and_then(|netlink| link::remove(&netlink, index));
        // Nobody listens any more when the news were faster.
        tell.send(removed.map(|_| index)).ok();
        drop(end);
    };
    let thread = std::thread::Builder::new().name("vc-unlink".to_owned());
    thread.spawn(work).map(drop)
}

fn wait(
    news: &Socket,
    mut left: BTreeSet<u32>,
    ended: &OwnedFd,
    told: &Receiver<io::Result<u32>>,
) -> io::Result<()> {
    let mut hears = true;
    while !left.is_empty() {
        let mut interest = vec![PollFd::new(ended, PollFlags::IN)];
        if hears {
            interest.push(PollFd::from_borrowed_fd(news.as_fd(), PollFlags::IN));
        }
        match rustix::event::poll(&mut interest, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(source) => return Err(source.into()),
        }
        let all_ended = !interest[0].revents().is_empty();
        for removed in told.try_iter() {
            left.remove(&removed?);
        }
        if all_ended {
            return Ok(());
        }
        hears = hears && read(news, &mut left)?;
    }
    Ok(())
}

/// Takes what the kernel tells to be gone off `left`; false when news were lost.
fn read(news: &Socket, left: &mut BTreeSet<u32>) -> io::Result<bool> {
    loop {
        let datagram = match news.recv_from_full() {
            Ok((datagram, _)) => datagram,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(false),
            Err(error) => return Err(error),
        };
        // The kernel sends one message at a time to those who listen.
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&datagram);
        let Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))) =
            message.map(|message| message.payload)
        else {
            continue;
        };
        // Bridges tell of a port that leaves in the same words, but of their own family.
        if link.header.interface_family == AddressFamily::Unspec {
            left.remove(&link.header.index);
        }
    }
}
