//! The one place of this crate that is unsafe: the registration of a descriptor with the executor.
#![allow(
    unsafe_code,
    reason = "an executor watches descriptor numbers, and their owner has to keep them open"
)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the current executor watch a descriptor for readability. Each number only once at a time.
pub(crate) fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned and open, and the result keeps it so until it is deregistered.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
