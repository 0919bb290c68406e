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

/// The same without what goes on by itself while packets pass: neighbours, and filters.
const SHAPE: u32 = EVERYTHING & !(0x4 | 0x8);

/// How long nothing may change before what has just come is taken to be all: whoever brings an
/// interface gives it addresses first and routes last, each a matter of few milliseconds.
const QUIET: Duration = Duration::from_millis(100);

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
    listen(namespace, EVERYTHING)
}

fn listen(namespace: &Namespace, groups: u32) -> Result<Watch, Error> {
    let failed = |source| Error::system("watch the interfaces of", namespace.path(), source);
    let socket = inside(namespace, || {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.set_non_blocking(true).map_err(failed)?;
        socket.bind(&SocketAddr::new(0, groups)).map_err(failed)?;
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
        let woken = self.wait_unless(longest, None)?;
        Ok(woken == Woken::News)
    }

    /// As [`wait`](Self::wait), and ends at once when `cancelled` can be read from, or all that could
    /// write to it are closed: an eventfd, or the reading end of a pipe. It is not read.
    ///
    /// Errors: `Internal`.
    pub fn wait_unless(
        &self,
        longest: Duration,
        cancelled: Option<BorrowedFd<'_>>,
    ) -> Result<Woken, Error> {
        let failed = |source: io::Error| Error::system("watch", &self.path, source);
        let timeout = Timespec::try_from(longest).ok();
        let mut interest = vec![PollFd::new(self, PollFlags::IN)];
        interest.extend(cancelled.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)));
        match rustix::event::poll(&mut interest, timeout.as_ref()) {
            Ok(0) => Ok(Woken::Late),
            Ok(_) if interest.get(1).is_some_and(|one| !one.revents().is_empty()) => {
                Ok(Woken::Cancelled)
            }
            // Whoever waits looks again, which does no harm.
            Ok(_) | Err(Errno::INTR) => {
                self.drain()?;
                Ok(Woken::News)
            }
            Err(source) => Err(failed(source.into())),
        }
    }
}

/// Why somebody who waited for news goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something may have changed.
    News,
    /// The time has passed.
    Late,
    /// There is no interest any more.
    Cancelled,
}

/// Looks at a namespace until what is there is `enough`, at once and after each change. Blocks the
/// calling thread until then. What comes while it waits is looked at again until links, addresses and
/// routes have been left alone for a tenth of a second, or the deadline has passed: whoever brings an
/// interface may not be at an end with it.
///
/// Errors: `Timeout` after the deadline, with the interfaces that are there; as [`scan`].
pub fn scan_until(
    namespace: &Namespace,
    deadline: Duration,
    enough: impl Fn(&View) -> bool,
) -> Result<View, Error> {
    match look(namespace, deadline, None, enough)? {
        (view, Woken::News) => Ok(view),
        (view, Woken::Late | Woken::Cancelled) => Err(too_late(&view, deadline)),
    }
}

/// As [`scan_until`], for a thread that somebody else may call off: it ends at once, without a view,
/// when `cancelled` can be read from, or all that could write to it are closed (an eventfd, or the
/// reading end of a pipe; see [`Watch::wait_unless`]).
///
/// Errors: those of [`scan_until`].
pub fn scan_until_cancelled(
    namespace: &Namespace,
    deadline: Duration,
    cancelled: BorrowedFd<'_>,
    enough: impl Fn(&View) -> bool,
) -> Result<Option<View>, Error> {
    match look(namespace, deadline, Some(cancelled), enough)? {
        (view, Woken::News) => Ok(Some(view)),
        (view, Woken::Late) => Err(too_late(&view, deadline)),
        (_, Woken::Cancelled) => Ok(None),
    }
}

/// The last look, and why it is the last: `News` when it is enough.
fn look(
    namespace: &Namespace,
    deadline: Duration,
    cancelled: Option<BorrowedFd<'_>>,
    enough: impl Fn(&View) -> bool,
) -> Result<(View, Woken), Error> {
    // From before the first look, so that no change falls between.
    let news = watch(namespace)?;
    let shape = listen(namespace, SHAPE)?;
    let end = Instant::now().checked_add(deadline);
    let left = || {
        end.map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Instant::now())
        })
    };
    // What is there from the start was there before anybody waited for it.
    let mut is_late = false;
    loop {
        shape.drain()?;
        let view = scan(namespace)?;
        let (woken, otherwise) = match (enough(&view), is_late) {
            (true, false) => return Ok((view, Woken::News)),
            (true, true) => {
                let woken = shape.wait_unless(QUIET.min(left()), cancelled)?;
                (woken, Woken::News)
            }
            (false, _) => (news.wait_unless(left(), cancelled)?, Woken::Late),
        };
        match woken {
            Woken::News if !left().is_zero() => is_late = true,
            Woken::News | Woken::Late => return Ok((view, otherwise)),
            Woken::Cancelled => return Ok((view, Woken::Cancelled)),
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
