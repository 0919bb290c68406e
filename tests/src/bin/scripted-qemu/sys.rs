//! The descriptors that were passed to this program.
#![allow(unsafe_code, reason = "a passed descriptor is a number")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

/// Takes over a listening socket that the parent passed under this number.
pub(crate) fn inherited_listener(number: RawFd) -> io::Result<UnixListener> {
    if number < 3 || !std::path::Path::new(&format!("/proc/self/fd/{number}")).exists() {
        return Err(io::Error::other(format!(
            "descriptor {number} was not passed"
        )));
    }
    // SAFETY: it is open, and its number was passed to this program for this one use.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    Ok(descriptor.into())
}
