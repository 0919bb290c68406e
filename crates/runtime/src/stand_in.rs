//! Stand-ins: processes of the host that stand for a process in a guest, so that whoever manages
//! containers has a pid to wait for. A stand-in ends with the status of its process. It lives on a
//! stream from the sandbox's supervisor, which carries the process's streams, and idle it makes no
//! system call.
//!
//! It needs no entry in the ledger: when the supervisor ends, by whatever, so does the stream, and
//! the stand-in with it. When the stand-in ends first, the supervisor kills its process.

use std::os::fd::{AsFd, OwnedFd};

use tokio::net::UnixStream;
use virtcontainers_process::{
    Identity, Launcher, Mark, ProgramCode, Stream, ignore_terminal_signals,
};
use virtcontainers_share::View;
use virtcontainers_types::{ExitStatus, ProcessIdentity};

use crate::error::{Context, Error, ErrorKind};
use crate::last_words::LastWords;
use crate::options::{ContainerIo, Supervision, SupervisorProgram};
use crate::supervisor::control::{self, Report, Request};
use crate::supervisor::inherited;
use crate::terminal::{self, Terminal};

/// The tag of a stand-in's mark.
const TAG: &str = "stand-in";

/// What is needed to make a stand-in, gathered before its process is there.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    program: &'a SupervisorProgram,
    /// The terminal, or where errors of the process go.
    stream: Option<OwnedFd>,
    terminal: bool,
    /// What it shows of the file system.
    view: String,
}

impl<'a> Making<'a> {
    /// Refuses where there is no program for it.
    ///
    /// Errors: `Unsupported` in a runtime that supervises by tasks; `Internal`.
    pub(crate) fn prepare(
        supervision: &'a Supervision,
        io: &ContainerIo,
        view: &View,
    ) -> Result<Self, Error> {
        let Supervision::Process(program) = supervision else {
            let message = "a stand-in is a process, and this runtime makes none: supervise by \
                           processes";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let stream = match io.is_terminal {
            true => io.stdin.as_ref(),
            false => io.stderr.as_ref(),
        };
        let duplicate = |stream: &OwnedFd| {
            stream.try_clone().map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot duplicate a stream").because(error)
            })
        };
        Ok(Self {
            program,
            stream: stream.map(duplicate).transpose()?,
            terminal: io.is_terminal,
            view: serde_json::to_string(view).map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot describe a view").because(error)
            })?,
        })
    }

    /// Starts the process, which takes over `line` to the supervisor.
    ///
    /// Errors: as [`Launcher::spawn`].
    pub(crate) fn start(
        self,
        nonce: &str,
        namespace: Option<OwnedFd>,
        line: UnixStream,
    ) -> Result<ProcessIdentity, Error> {
        let failed = || "cannot start a stand-in".to_owned();
        let line = line
            .into_std()
            .map_err(|error| Error::new(ErrorKind::Internal, failed()).because(error))?;
        let mut launcher = Launcher::new(&self.program.program)
            .args(&self.program.stand_in)
            .arg(self.view)
            .current_dir("/")
            .marked(&Mark::new(nonce, TAG));
        for (name, value) in &self.program.env {
            launcher = launcher.env(name, value);
        }
        if let Some(namespace) = namespace {
            launcher = launcher.network_namespace(namespace);
        }
        launcher.pass(line.into());
        if let Some(stream) = self.stream {
            match self.terminal {
                true => {
                    launcher.pass(stream);
                }
                false => launcher = launcher.stderr(Stream::Descriptor(stream)),
            }
        }
        let child = launcher.spawn().during(failed)?;
        let Identity { pid, start_time } = child.identity();
        // For a manager that lives longer than the process.
        tokio::spawn(async move { child.wait().await.map(drop).unwrap_or_default() });
        Ok(ProcessIdentity { pid, start_time })
    }
}

/// What a stand-in was given by its creator.
#[derive(Debug)]
pub struct StandIn {
    line: std::os::unix::net::UnixStream,
    terminal: Option<OwnedFd>,
    code: Option<ProgramCode>,
}

impl StandIn {
    /// Takes over the descriptor 3, and 4 if it is open; leaves the file system of the host for what
    /// the container has of it, which the program's last argument says: `view`. Call it once, first
    /// thing in the stand-in's `main`, before anything else opens a descriptor or starts a thread.
    ///
    /// Errors: `Invalid` when the process was not started as a stand-in; those of [`View::enter`].
    /// What it was to stand for is killed when it ends.
    pub fn take(view: &str) -> Result<Self, Error> {
        let line = inherited::take(3)?.into();
        let terminal = inherited::take(4).ok();
        let view: View = serde_json::from_str(view).map_err(|error| {
            Error::new(ErrorKind::Invalid, "cannot understand the view").because(error)
        })?;
        // Nothing tells it in there.
        let code = ProgramCode::locate().ok();
        view.enter()
            .during(|| "a stand-in still shows the files of the host".to_owned())?;
        Ok(Self {
            line,
            terminal,
            code,
        })
    }

    /// Waits for the process that this one stands for, and gives its status. When the machine is
    /// lost it says so on standard error or on the terminal, and gives 255.
    ///
    /// Errors: `Internal` when it cannot begin; the process is killed then.
    pub async fn wait(self) -> Result<ExitStatus, Error> {
        ignore_terminal_signals().during(|| "cannot begin to stand in".to_owned())?;
        let internal = |error: std::io::Error| {
            Error::new(ErrorKind::Internal, "cannot use the line to the supervisor").because(error)
        };
        let errors = std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_err(internal)?;
        let last_words = LastWords::to(Some(self.terminal.as_ref().unwrap_or(&errors)));
        let mut terminal = Terminal::take(self.terminal.as_ref())?;
        self.line.set_nonblocking(true).map_err(internal)?;
        let line = UnixStream::from_std(self.line).map_err(internal)?;
        let (mut receiver, mut sender) = control::split(line);
        sender.send(&Request::Stand).await?;
        if let Some(code) = &self.code
            && let Err(error) = code.release()
        {
            tracing::debug!(%error, "the code of the start stays in memory");
        }
        let lost = loop {
            tokio::select! {
                report = receiver.next::<Report>() => match report {
                    Ok(Some(Report::Ended(status))) => return Ok(status),
                    Ok(Some(Report::Lost(why))) => break why,
                    Ok(_) => break "its supervisor has ended".to_owned(),
                    Err(error) => break error.to_string(),
                },
                (rows, columns) = terminal::size(&mut terminal) => {
                    sender.send(&Request::Resize { rows, columns }).await?;
                }
            }
        };
        last_words.say(&format!("the sandbox was lost: {lost}"));
        Ok(ExitStatus::LOST)
    }
}
