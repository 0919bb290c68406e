//! A listening unix socket in a directory of any length.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::mount::open_place;

/// Binds and listens. The directory is reached through its descriptor: the address of a socket
/// holds 107 bytes only (unix(7)).
pub(super) fn listen(directory: &Path, name: &str) -> io::Result<UnixListener> {
    let directory = open_place(directory, true)?;
    let address = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    UnixListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => io::Error::new(io::ErrorKind::AlreadyExists, error),
        _ => error,
    })
}
