//! How a runtime is set up, and how one creation is carried out.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use virtcontainers_agent::{Connector, Ttrpc};
use virtcontainers_share::DaemonConfig;
use virtcontainers_store::Store;
use virtcontainers_types::Attachment;

use crate::boot::Phase;
use crate::error::{Error, ErrorKind};

/// How a [`Runtime`](crate::Runtime) works on this host.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// The state root, absolute; `/run/vc` by custom.
    pub root: PathBuf,
    /// Every deadline is multiplied by this; 1 is right for most hosts.
    pub deadline_factor: f64,
    /// The file system daemon.
    pub share: DaemonConfig,
    /// Who watches over a sandbox after it was created.
    pub supervision: Supervision,
    /// Where records are kept; files under `root` when absent.
    pub store: Option<Arc<dyn Store>>,
    /// How agents are reached.
    pub agents: Arc<dyn Connector>,
}

impl RuntimeOptions {
    /// The usual ones: state in files under `root`, supervision by tasks of this process, agents by
    /// ttrpc.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            deadline_factor: 1.0,
            share: DaemonConfig::default(),
            supervision: Supervision::Task,
            store: None,
            agents: Arc::new(Ttrpc),
        }
    }
}

/// Who watches over a sandbox: a process of its own, or a task of this one.
#[derive(Debug, Clone)]
pub enum Supervision {
    /// A new process for each sandbox, made by running this program again. The sandbox survives
    /// the end of the creator when it is told to.
    Process(SupervisorProgram),
    /// A task on the caller's tokio runtime. The sandbox ends with the process at the latest.
    Task,
}

/// How to start a supervisor: a program that ends up in
/// [`Runtime::supervise`](crate::Runtime::supervise).
#[derive(Debug, Clone)]
pub struct SupervisorProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The arguments by which it ends up in [`StandIn::wait`](crate::StandIn::wait) instead.
    pub stand_in: Vec<OsString>,
    /// Environment variables that it needs, beside `PATH`.
    pub env: Vec<(OsString, OsString)>,
    /// The first line on its control stream: what it needs to make an equal runtime.
    pub preamble: serde_json::Value,
}

/// The ends that a container's streams are carried to. Absent means `/dev/null`.
#[derive(Debug, Default)]
pub struct ContainerIo {
    /// What the container reads.
    pub stdin: Option<OwnedFd>,
    /// Where its output goes.
    pub stdout: Option<OwnedFd>,
    /// Where its errors go; unused with a terminal.
    pub stderr: Option<OwnedFd>,
    /// Our own ends, when they are kept for the handle.
    ours: Option<IoStreams>,
    /// All are one terminal, which is for the container alone.
    pub(crate) is_terminal: bool,
    /// A process is to stand for the container.
    pub(crate) stood_for: bool,
}

/// Our ends of a container's streams. The container blocks while its output is not read.
#[derive(Debug)]
pub struct IoStreams {
    /// What is written here the container reads; dropping it ends its input.
    pub stdin: std::io::PipeWriter,
    /// What the container writes to standard output.
    pub stdout: std::io::PipeReader,
    /// What the container writes to standard error.
    pub stderr: std::io::PipeReader,
}

impl ContainerIo {
    /// These ends; absent ones lead to `/dev/null`.
    pub fn new(stdin: Option<OwnedFd>, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> Self {
        Self {
            stdin,
            stdout,
            stderr,
            ..Self::default()
        }
    }

    /// A terminal, for a container that has one: a pty's slave in raw mode, which nobody else uses.
    /// The process that stands for the container makes it its controlling terminal and tells the
    /// guest when its size changes.
    ///
    /// Errors: `Internal`.
    pub fn terminal(slave: OwnedFd) -> Result<Self, Error> {
        let output = slave.try_clone().map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot duplicate a terminal").because(error)
        })?;
        Ok(Self {
            stdin: Some(slave),
            stdout: Some(output),
            is_terminal: true,
            ..Self::default()
        })
    }

    /// Lets a process of its own stand for a further container of a sandbox: its pid is in the
    /// container's [status](virtcontainers_types::ContainerStatus), and it ends with the
    /// container's status. For the first container the sandbox's supervisor does so anyway.
    #[must_use]
    pub fn with_stand_in(mut self) -> Self {
        self.stood_for = true;
        self
    }

    /// Pipes whose other ends the sandbox's handle keeps, for
    /// [`io_stream`](crate::Sandbox::io_stream).
    pub fn kept() -> Result<Self, Error> {
        let pipe = || {
            std::io::pipe().map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot make a pipe").because(error)
            })
        };
        let (stdin, our_stdin) = pipe()?;
        let (our_stdout, stdout) = pipe()?;
        let (our_stderr, stderr) = pipe()?;
        Ok(Self {
            stdin: Some(stdin.into()),
            stdout: Some(stdout.into()),
            stderr: Some(stderr.into()),
            is_terminal: false,
            stood_for: false,
            ours: Some(IoStreams {
                stdin: our_stdin,
                stdout: our_stdout,
                stderr: our_stderr,
            }),
        })
    }

    /// Our ends, for whoever keeps them.
    pub(crate) fn take_streams(&mut self) -> Option<IoStreams> {
        self.ours.take()
    }

    /// This process's own standard streams, duplicated.
    pub fn inherit() -> Result<Self, Error> {
        let duplicate = |stream: &dyn AsFd| {
            rustix::io::fcntl_dupfd_cloexec(stream, 3).map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot duplicate a standard stream").because(error)
            })
        };
        Ok(Self {
            stdin: Some(duplicate(&std::io::stdin())?),
            stdout: Some(duplicate(&std::io::stdout())?),
            stderr: Some(duplicate(&std::io::stderr())?),
            ..Self::default()
        })
    }
}

/// `/dev/null`, for a stream that leads nowhere.
pub(crate) fn null() -> Result<OwnedFd, Error> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map(OwnedFd::from)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot open /dev/null").because(error))
}

/// How one creation is carried out.
#[derive(Debug)]
pub struct CreateOptions {
    /// The streams of the first container; further ones have none.
    pub io: ContainerIo,
    /// Whether the sandbox outlives its creator.
    pub attachment: Attachment,
    /// Told of each phase as it completes.
    pub progress: Progress,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            io: ContainerIo::default(),
            attachment: Attachment::Detached,
            progress: Progress::default(),
        }
    }
}

/// Somebody who wants to know how far a creation is. Does nothing by default.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<ProgressFn>>);

type ProgressFn = dyn Fn(Phase, Duration) + Send + Sync;

impl Progress {
    /// Calls `tell` with each phase that completed and how long it took. It must not block.
    pub fn new(tell: impl Fn(Phase, Duration) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(crate) fn completed(&self, phase: Phase, took: Duration) {
        tracing::info!(%phase, millis = took.as_millis() as u64, "phase completed");
        if let Some(tell) = &self.0 {
            tell(phase, took);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
