//! Unix sockets whose path is longer than a socket address holds (107 bytes).
//!
//! The directory, or the socket itself, is opened and addressed through `/proc/self/fd`, which
//! the kernel resolves to the same file. Nothing changes directory: a working directory belongs to
//! the whole process.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};

/// What `sun_path` holds besides its terminating zero byte (unix(7)).
const MAX_PATH: usize = 107;

/// Connects to a unix socket, however long its path. Dropping the future is safe.
pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    if fits(path) {
        return UnixStream::connect(path).await;
    }
    let socket = open(path, OFlags::empty())?;
    UnixStream::connect(through(&socket)).await
}

/// Binds a listener, however long its directory. The name itself has to fit.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    if fits(path) {
        return UnixListener::bind(path);
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let directory = open(directory, OFlags::DIRECTORY)?;
    UnixListener::bind(through(&directory).join(name))
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= MAX_PATH
}

fn open(path: &Path, extra: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | extra;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

fn through(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn short_and_long_paths_work() {
        let root = tempfile::tempdir().unwrap();
        for directory in [root.path().join("d"), root.path().join("d".repeat(200))] {
            std::fs::create_dir(&directory).unwrap();
            let path = directory.join("agent.sock");
            let listener = bind(&path).unwrap();
            let (client, server) = tokio::join!(connect(&path), listener.accept());
            client.unwrap();
            server.unwrap();
            assert!(path.exists(), "the socket is where it was asked for");
        }
    }
}
