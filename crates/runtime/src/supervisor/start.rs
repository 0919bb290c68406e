//! The creator's side: starting a supervisor, and hearing how the boot goes.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use virtcontainers_process::{Child, Identity, Launcher, Mark, Stream};
use virtcontainers_store::Ledger;
use virtcontainers_types::{Attachment, ProcessIdentity};

use super::control::{self, Begin, Report, Request, Up};
use super::creator::{self, Supervisor};
use super::tasks::Attendance;
use super::{Hosting, Outlook, supervise};
use crate::cgroup;
use crate::error::{Context, Error, ErrorKind};
use crate::host::Host;
use crate::options::{ContainerIo, Progress, Supervision, SupervisorProgram, null};
use crate::orphan;
use crate::undo::Effect;

/// The tag of the supervisor's mark.
const TAG: &str = "supervisor";
/// Where a supervisor process writes what goes wrong with itself.
const LOG: &str = "supervisor.log";

/// A supervisor that was told to begin.
#[derive(Debug)]
pub(crate) struct Starting {
    pub(crate) identity: ProcessIdentity,
    supervisor: Supervisor,
    /// Reaps the process when it ends; absent for a task.
    child: Option<Child>,
}

/// The creator's hold on a supervised sandbox.
#[derive(Debug)]
pub(crate) struct Held {
    supervisor: Supervisor,
    child: Option<Child>,
}

/// Starts a supervisor and tells it to begin.
pub(crate) async fn start(
    host: &Arc<Host>,
    ledger: &Ledger,
    begin: Begin,
    io: ContainerIo,
) -> Result<Starting, Error> {
    match &host.supervision {
        Supervision::Process(program) => start_process(program, ledger, begin, io).await,
        Supervision::Task => start_task(host, begin, io),
    }
}

async fn start_process(
    program: &SupervisorProgram,
    ledger: &Ledger,
    begin: Begin,
    io: ContainerIo,
) -> Result<Starting, Error> {
    let (ours, theirs) = StdUnixStream::pair().map_err(internal)?;
    let mark = Mark::new(&begin.plan.nonce, TAG);
    Effect::Supervisor(mark.clone()).enter(ledger)?;
    let child = spawn(program, &begin, &mark, theirs, io)?;
    // Before it starts anything, which is in the same cgroup then.
    if let Some(first) = begin.config.containers.first() {
        cgroup::enter(first, child.identity().pid, ledger)?;
    }
    send_preamble(&ours, program)?;
    let (receiver, mut sender) = control::split(asynchronous(ours)?);
    sender.send(&Request::Begin(Box::new(begin))).await?;
    Ok(Starting {
        identity: identity(child.identity()),
        supervisor: Supervisor::Stream {
            receiver,
            _sender: sender,
        },
        child: Some(child),
    })
}

fn start_task(host: &Arc<Host>, begin: Begin, io: ContainerIo) -> Result<Starting, Error> {
    let ourselves = orphan::ourselves()
        .ok_or_else(|| Error::new(ErrorKind::Internal, "cannot tell our own process"))?;
    let host = Arc::clone(host);
    let (supervisor, creator, gone) = creator::channel();
    let attendance = Attendance::begin(begin.plan.machine.directory.clone());
    tokio::spawn(async move {
        let outlook = (Hosting::Task(&attendance), Outlook::default());
        if let Err(error) = supervise(&host, begin, (creator, gone), io, outlook).await {
            tracing::error!(%error, "the supervisor cannot begin");
        }
    });
    Ok(Starting {
        identity: identity(ourselves),
        supervisor,
        child: None,
    })
}

fn identity(Identity { pid, start_time }: Identity) -> ProcessIdentity {
    ProcessIdentity { pid, start_time }
}

impl Starting {
    /// Waits until the sandbox is up, or is not and everything was undone.
    ///
    /// Dropping the future makes the supervisor end and clean up.
    pub(crate) async fn up(self, progress: &Progress) -> Result<(Up, Held), Error> {
        let Self {
            mut supervisor,
            child,
            ..
        } = self;
        loop {
            match supervisor.next().await? {
                Some(Report::Phase { phase, millis }) => {
                    progress.completed(phase, Duration::from_millis(millis));
                }
                Some(Report::Up(up)) => {
                    return Ok((up, Held { supervisor, child }));
                }
                Some(Report::Failed(error)) => {
                    reap(child).await;
                    return Err(error.into());
                }
                // Answers to callers on the socket do not come here.
                Some(
                    Report::Done
                    | Report::Exits(_)
                    | Report::OutOfMemory(_)
                    | Report::Ended(_)
                    | Report::Lost(_),
                ) => {}
                None => return Err(died(child).await),
            }
        }
    }
}

impl Held {
    /// Waits until the supervisor has ended the sandbox and itself. Safe to drop.
    pub(crate) async fn ended(&mut self) {
        while let Ok(Some(_)) = self.supervisor.next().await {}
        if let Some(child) = &self.child
            && let Err(error) = child.wait().await
        {
            tracing::debug!(%error, "the supervisor cannot be reaped");
        }
    }
}

async fn reap(child: Option<Child>) {
    if let Some(child) = child
        && let Err(error) = child.wait().await
    {
        tracing::debug!(%error, "the supervisor cannot be reaped");
    }
}

async fn died(child: Option<Child>) -> Error {
    let how = match &child {
        Some(child) => match child.wait().await {
            Ok(exit) => exit.to_string(),
            Err(error) => error.to_string(),
        },
        None => "its task ended".to_owned(),
    };
    let message = format!("the supervisor died during the boot ({how}); see `vc logs`");
    Error::new(ErrorKind::Gone, message)
}

fn spawn(
    program: &SupervisorProgram,
    begin: &Begin,
    mark: &Mark,
    control: StdUnixStream,
    io: ContainerIo,
) -> Result<Child, Error> {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(begin.plan.machine.directory.join(LOG))
        .map_err(internal)?;
    let mut launcher = Launcher::new(&program.program)
        .args(&program.args)
        .stderr(Stream::Descriptor(log.into()))
        .current_dir(&begin.plan.machine.directory)
        .marked(mark);
    for (name, value) in &program.env {
        launcher = launcher.env(name, value);
    }
    // An attached supervisor reads the creator's terminal, which only its session may.
    if begin.plan.attachment == Attachment::Attached {
        launcher = launcher.in_our_session();
    }
    launcher.pass(control.into());
    for stream in [io.stdin, io.stdout, io.stderr] {
        launcher.pass(stream.map_or_else(null, Ok)?);
    }
    launcher
        .spawn()
        .during(|| "cannot start the supervisor".to_owned())
}

fn send_preamble(mut stream: &StdUnixStream, program: &SupervisorProgram) -> Result<(), Error> {
    let mut line = serde_json::to_vec(&program.preamble).map_err(|error| internal(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(internal)
}

fn asynchronous(stream: StdUnixStream) -> Result<UnixStream, Error> {
    stream.set_nonblocking(true).map_err(internal)?;
    UnixStream::from_std(stream).map_err(internal)
}

fn internal(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, "cannot prepare the supervisor").because(error)
}
