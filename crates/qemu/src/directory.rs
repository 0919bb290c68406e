//! The machine's directory and the sockets in it, reached by its descriptor, so that the length of
//! its path is no limit (a socket's path must be shorter than 108 bytes, unix(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use tokio::net::UnixStream;

use crate::names::SOCKETS;

/// An open machine directory.
#[derive(Debug)]
pub(crate) struct MachineDirectory {
    path: PathBuf,
    descriptor: OwnedFd,
}

impl MachineDirectory {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            path: path.to_owned(),
            descriptor,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A listening socket of this name.
    pub(crate) fn listen(&self, name: &str) -> io::Result<UnixListener> {
        UnixListener::bind(self.short(name))
    }

    /// Connects to the socket of this name. Safe to drop.
    pub(crate) async fn connect(&self, name: &str) -> io::Result<UnixStream> {
        UnixStream::connect(self.short(name)).await
    }

    /// Removes all sockets that this crate makes; those that are not there are no failure.
    pub(crate) fn remove_sockets(&self) -> io::Result<()> {
        for name in SOCKETS {
            match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A path of a few bytes, however long our own is.
    pub(crate) fn short(&self, name: &str) -> PathBuf {
        let descriptor = self.descriptor.as_fd().as_raw_fd();
        PathBuf::from(format!("/proc/self/fd/{descriptor}/{name}"))
    }
}

/// Removes the sockets when it is dropped, unless they are to be kept.
#[derive(Debug)]
pub(crate) struct SocketFiles {
    directory: Arc<MachineDirectory>,
    kept: bool,
}

impl SocketFiles {
    pub(crate) const fn new(directory: Arc<MachineDirectory>) -> Self {
        let kept = false;
        Self { directory, kept }
    }

    /// The sockets stay.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = self.directory.remove_sockets() {
            let directory = self.directory.path().display();
            tracing::warn!(%directory, %error, "sockets are left");
        }
    }
}
