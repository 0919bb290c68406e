//! The sockets in a machine's directory, reached by its descriptor: a socket's path must be shorter
//! than 108 bytes (unix(7)), and that of a directory may be longer.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use tokio::net::UnixStream;

use super::{AGENT_SOCKET, CONTROL_SOCKET};

/// An open machine directory.
#[derive(Debug)]
pub(super) struct MachineDirectory(OwnedFd);

impl MachineDirectory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    pub(super) fn listen(&self, name: &str) -> io::Result<UnixListener> {
        UnixListener::bind(self.short(name))
    }

    pub(super) async fn connect(&self, name: &str) -> io::Result<UnixStream> {
        UnixStream::connect(self.short(name)).await
    }

    /// Removes the sockets of a machine; those that are not there are no failure.
    pub(super) fn remove_sockets(&self) -> io::Result<()> {
        for name in [CONTROL_SOCKET, AGENT_SOCKET] {
            match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn short(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }
}
