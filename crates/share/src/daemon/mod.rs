//! virtiofsd: found, started on a socket that listens already, watched, ended.

mod arguments;
mod socket;

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use virtcontainers_process::{
    Child, Exit, Launcher, Mark, OutputTail, Search, Stream, find_program,
};
use virtcontainers_types::{ProcessIdentity, UndoSink};

use crate::undo::{END, Undo, record};
use crate::{Error, Tree};
use arguments::arguments;

/// The name of the daemon's vhost-user socket in its directory.
pub const SOCKET: &str = "fs.sock";

const TAG: &str = "virtiofsd";
const REMEDY: &str = "install the Debian package virtiofsd (before Debian 13: \
                      qemu-system-common), or set its path in the configuration";

/// What the guest may keep of file contents and attributes (virtiofsd(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cache {
    /// Nothing: the host's changes are seen at once.
    None,
    /// Attributes for a second, contents while a file is open.
    #[default]
    Auto,
    /// Everything: for directories that the host does not touch.
    Always,
}

/// Which daemon, and how it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonConfig {
    /// The program, when it is configured: then no other place is looked at.
    pub path: Option<PathBuf>,
    /// Names for `PATH` and whole paths to look at otherwise, in order.
    pub candidates: Vec<PathBuf>,
    /// What the guest may keep.
    pub cache: Cache,
    /// Tell the guest where another file system begins, so that files of two file systems with
    /// the same inode number are not taken for one. Needs Linux 5.10 in the guest.
    pub announce_submounts: bool,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        let places = [
            "/usr/libexec/virtiofsd",
            "/usr/lib/qemu/virtiofsd",
            "virtiofsd",
        ];
        Self {
            path: None,
            candidates: places.map(PathBuf::from).to_vec(),
            cache: Cache::default(),
            announce_submounts: true,
        }
    }
}

impl DaemonConfig {
    /// The program that will be started.
    ///
    /// Errors: `NotFound`, saying where it was looked for and what to install; `Denied` when it is
    /// not executable; `Invalid` when the configured path is not absolute.
    pub fn find(&self) -> Result<PathBuf, Error> {
        let search = Search {
            program: "virtiofsd",
            configured: self.path.as_deref(),
            candidates: self.candidates.clone(),
            remedy: REMEDY,
        };
        find_program(&search).map_err(|source| Error::process(source, "serve shared files"))
    }
}

/// A daemon of ours. It ends by itself when the virtual machine monitor closes the connection, and
/// is killed when this value is dropped.
pub struct Daemon {
    child: Child,
    mark: Mark,
    stderr: OutputTail,
    socket: PathBuf,
}

impl Daemon {
    /// Starts a daemon that serves `tree`. Its socket, [`SOCKET`] in `directory`, listens when this
    /// returns: the monitor can be started at once. `directory` may be longer than a socket's
    /// address allows.
    ///
    /// Its processes carry `nonce`, by which they are found again. With `die_with_thread` the
    /// kernel kills it when the calling thread ends. What was entered in `undo` remains to be
    /// undone after an error too.
    ///
    /// Blocks for about a millisecond.
    ///
    /// Errors: as [`DaemonConfig::find`]; `Unsupported` for a tree whose path the daemon's options
    /// cannot express; `AlreadyExists` when the socket does; `Internal`.
    pub fn start(
        config: &DaemonConfig,
        tree: &Tree,
        directory: &Path,
        nonce: &str,
        die_with_thread: bool,
        undo: &dyn UndoSink,
    ) -> Result<Self, Error> {
        let program = config.find()?;
        let served = tree.served();
        arguments::check(&served)?;
        let mark = Mark::new(nonce, TAG);
        let socket = directory.join(SOCKET);
        record(
            undo,
            &socket,
            &Undo::Socket {
                path: socket.clone(),
            },
        )?;
        let listener = socket::listen(directory, SOCKET)
            .map_err(|source| Error::system("listen on", &socket, source))?;
        record(undo, &program, &Undo::Daemon { mark: mark.clone() })?;
        let (stderr, write_end) = OutputTail::pipe()
            .map_err(|source| Error::process(source, "start the file system daemon"))?;
        let mut launcher = Launcher::new(&program)
            .marked(&mark)
            .current_dir("/")
            .stderr(Stream::Descriptor(write_end));
        if die_with_thread {
            launcher = launcher.die_with_thread();
        }
        let number = launcher.pass(OwnedFd::from(listener));
        let child = launcher
            .args(arguments(config, &served, number))
            .spawn()
            .map_err(|source| Error::process(source, "start the file system daemon"))?;
        Ok(Self {
            child,
            mark,
            stderr,
            socket,
        })
    }

    /// The socket for the monitor.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon's first process; in its sandbox it has a second.
    pub fn identity(&self) -> ProcessIdentity {
        let identity = self.child.identity();
        ProcessIdentity {
            pid: identity.pid,
            start_time: identity.start_time,
        }
    }

    /// Resolves when the daemon has ended; the guest's files are gone then. Safe to drop; many may
    /// wait, and all get the same answer. Somebody must wait for as long as the daemon runs, else
    /// it blocks when it has written 64 KiB of messages. Needs a tokio runtime with IO.
    ///
    /// Errors: `Internal` when the runtime cannot watch one more descriptor.
    pub async fn wait(&self) -> Result<Exit, Error> {
        let follow = async {
            match self.stderr.follow().await {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        };
        let exit = tokio::select! {
            biased;
            exit = self.child.wait() => exit,
            error = follow => Err(error),
        };
        exit.map_err(|source| Error::process(source, "watch the file system daemon"))
    }

    /// The last lines that it wrote to its standard error.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Kills the daemon and blocks until it has ended. Succeeds when it has ended already.
    ///
    /// Errors: `Timeout` after five seconds; `Denied`; `Internal`.
    pub fn kill(&self) -> Result<(), Error> {
        // The second process asks to die with the first, but only after it was forked: by the mark
        // it is found in any case.
        let ended = self
            .child
            .kill()
            .and_then(|()| self.child.wait_blocking(END))
            .and_then(|_exit| self.mark.end_all(END));
        ended.map_err(|source| Error::process(source, "end the file system daemon"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(daemon = ?self, %error, "a file system daemon is left");
        }
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon")
            .field("identity", &self.child.identity())
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
