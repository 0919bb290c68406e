//! The supervisor's socket. Socket names are limited to 107 bytes (unix(7)), paths are not: the
//! directory is reached through a descriptor.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};

use crate::paths::SUPERVISOR_SOCKET;

fn short_name(directory: &Path) -> io::Result<(OwnedFd, String)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let name = format!(
        "/proc/self/fd/{}/{SUPERVISOR_SOCKET}",
        directory.as_raw_fd()
    );
    Ok((directory, name))
}

pub(super) fn bind(directory: &Path) -> io::Result<UnixListener> {
    let (_keep, name) = short_name(directory)?;
    UnixListener::bind(name)
}

pub(super) async fn connect(directory: &Path) -> io::Result<UnixStream> {
    let (_keep, name) = short_name(directory)?;
    UnixStream::connect(name).await
}
