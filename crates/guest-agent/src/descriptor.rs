//! Descriptors on the event loop.

use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use tokio::io::unix::AsyncFd;

use crate::status::{Doing as _, Result};
use crate::sys;

/// Hands a pipe, terminal or socket to the event loop; from now on it does not block.
///
/// # Errors
/// INTERNAL when the kernel refuses.
pub(crate) fn asynchronous(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    let flags = rustix::fs::fcntl_getfl(&fd).doing(|| "look at a descriptor".to_owned())?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)
        .doing(|| "set up a descriptor".to_owned())?;
    sys::register(fd).doing(|| "watch a descriptor".to_owned())
}
