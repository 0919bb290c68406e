//! Waiting for interfaces that come late: the kernel tells of every change.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::thread::inside;
use crate::{Error, ErrorKind, Namespace, View, scan};

/// `RTMGRP_LINK`, `RTMGRP_NEIGH`, `RTMGRP_TC`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`,
/// `RTMGRP_IPV4_RULE`, `RTMGRP_IPV6_IFADDR`, `RTMGRP_IPV6_ROUTE` (linux/rtnetlink.h).
const EVERYTHING: u32 = 0x1 | 0x4 | 0x8 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400;

/// News of a network namespace. The descriptor is readable when something has changed.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    path: PathBuf,
}

/// Watches links, addresses, routes, neighbours and filters of a namespace from now on.
///
/// Errors: `Denied`, `Internal`.
pub fn watch(namespace: &Namespace) -> Result<Watch, Error> {
    let failed = |source| Error::system("watch the interfaces of", namespace.path(), source);
    let socket = inside(namespace, || {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.set_non_blocking(true).map_err(failed)?;
        socket
            .bind(&SocketAddr::new(0, EVERYTHING))
            .map_err(failed)?;
        Ok(socket)
    })?;
    let path = namespace.path().to_owned();
    Ok(Watch { socket, path })
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Watch {
    /// Forgets the news so far; true when there were some.
    ///
    /// Errors: `Internal`.
    pub fn drain(&self) -> Result<bool, Error> {
        let mut buffer = [0_u8; 4096];
        let mut some = false;
        loop {
            match self.socket.recv(&mut &mut buffer[..], 0) {
                Ok(_) => some = true,
                // News were lost, which is news.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => some = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(some),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::system("watch", &self.path, source)),
            }
        }
    }

    /// Blocks until there are news, or for this long; false when there were none.
    ///
    /// Errors: `Internal`.
    pub fn wait(&self, longest: Duration) -> Result<bool, Error> {
        let failed = |source: io::Error| Error::system("watch", &self.path, source);
        let timeout = Timespec::try_from(longest).ok();
        let mut interest = [PollFd::new(self, PollFlags::IN)];
        match rustix::event::poll(&mut interest, timeout.as_ref()) {
            Ok(0) => Ok(false),
            // Whoever waits looks again, which does no harm.
            Ok(_) | Err(Errno::INTR) => {
                self.drain()?;
                Ok(true)
            }
            Err(source) => Err(failed(source.into())),
        }
    }
}

/// Looks at a namespace until what is there is `enough`, at once and after each change. Blocks the
/// calling thread until then.
///
/// Errors: `Timeout` after the deadline, with the interfaces that are there; as [`scan`].
pub fn scan_until(
    namespace: &Namespace,
    deadline: Duration,
    enough: impl Fn(&View) -> bool,
) -> Result<View, Error> {
    // From before the first look, so that no change falls between.
    let news = watch(namespace)?;
    let end = Instant::now().checked_add(deadline);
    loop {
        let view = scan(namespace)?;
        if enough(&view) {
            return Ok(view);
        }
        let left = end.map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Instant::now())
        });
        if left.is_zero() || !news.wait(left)? {
            return Err(too_late(&view, deadline));
        }
    }
}

fn too_late(view: &View, deadline: Duration) -> Error {
    let links: Vec<_> = view.links.iter().map(|link| &*link.name).collect();
    let message = format!(
        "the interfaces that were expected in the network namespace {} did not come within \
         {deadline:?}; there are {}: see whether the network's plugin or hook has failed",
        view.namespace.path.display(),
        links.join(", ")
    );
    Error::new(ErrorKind::Timeout, message)
}
