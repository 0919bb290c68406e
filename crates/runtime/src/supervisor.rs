//! The supervisor: the one long-lived owner of a sandbox's machine, streams and end.
//!
//! It brings the sandbox up while its creator holds the lease, then waits: for a container's end,
//! for the machine's, for its creator's, for a request to stop. It holds no lease while it waits,
//! and idle it makes no system call. Whatever the end is, it undoes all that the ledger tells of,
//! says in the record what happened, and goes; that its sockets close then is the sign for all
//! who wait for it.

mod attend;
pub(crate) mod carry;
pub(crate) mod client;
pub(crate) mod console;
pub(crate) mod control;
mod creator;
mod finish;
mod follow;
mod inbox;
pub(crate) mod inherited;
mod note;
mod socket;
mod standing;
mod start;
pub(crate) mod tasks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use virtcontainers_hypervisor::MachineExit;
use virtcontainers_store::Ledger;
use virtcontainers_types::ExitStatus;

pub use inherited::SupervisorStart;
pub(crate) use start::{Held, start};

use crate::boot::{self, BootFailure, Job, Phase, Ready};
use crate::diagnosis::{self, BootReport, CONSOLE_LINES};
use crate::error::{Context, Error, ErrorKind};
use crate::front::Front;
use crate::host::Host;
use crate::last_words::{LastWords, in_one_line};
use crate::options::{ContainerIo, Progress};
use crate::terminal::Terminal;
use control::{Begin, Exits, Report, Request, Up};
use creator::{Creator, CreatorGone};
use inbox::{Inbox, Wish};
use tasks::Attendance;

/// A container that ended with its machine was killed.
const KILLED: ExitStatus = ExitStatus(128 + 9);

/// Whether the supervisor is a process or a task.
#[derive(Debug, Clone, Copy)]
enum Hosting<'a> {
    /// The process is the supervisor's own, on one thread.
    Process,
    /// Other things run in the process.
    Task(&'a Attendance),
}

/// How a sandbox came to its end.
#[derive(Debug)]
enum End {
    /// It did not come up.
    BootFailed(Error),
    /// Its creator is gone, and it was to end with it.
    CreatorGone,
    /// Somebody asked, who holds the lease and will write the record. Resolves when they were told
    /// how containers ended.
    Stopped(oneshot::Receiver<()>),
    /// The supervisor's process was told to end.
    Terminated,
    /// The container that it was made for ended.
    ContainerEnded,
    /// Its machine, or a helper of it, ended by itself.
    MachineLost(MachineExit),
    /// Its agent went silent.
    AgentLost(Error),
}

/// Supervises the sandbox that this process was started for, from its boot to its end. `control` is
/// the stream to the creator.
///
/// Gives the status of the first container. Errors: `Incompatible` when the creator does not begin
/// as expected. What happens to the sandbox is told to the creator and stored, not returned.
pub(crate) async fn supervise_here(
    host: &Arc<Host>,
    control: UnixStream,
    io: ContainerIo,
    front: Option<Front>,
) -> Result<ExitStatus, Error> {
    // The process may share the creator's terminal, whose keys are for the container.
    virtcontainers_process::ignore_terminal_signals()
        .during(|| "cannot start to supervise".to_owned())?;
    let (mut receiver, sender) = control::split(control);
    match receiver.next::<Request>().await? {
        Some(Request::Begin(begin)) => {
            let terminal = begin
                .own_terminal
                .then(|| Terminal::take(io.stdin.as_ref()));
            let outlook = Outlook {
                terminal: terminal.transpose()?.flatten(),
                last_words: LastWords::to(match begin.own_terminal {
                    true => io.stdout.as_ref(),
                    false => io.stderr.as_ref(),
                }),
                front,
            };
            // What this process does by itself takes the sandbox's lease too, and asks who attends it.
            let _attended = Attendance::begin(begin.plan.machine.directory.clone());
            let line = (Creator::Stream(sender), CreatorGone::Stream(receiver));
            supervise(host, *begin, line, io, (Hosting::Process, outlook)).await
        }
        // The creator died before it said anything; the next call cleans up after it.
        Some(_) | None => Ok(ExitStatus::LOST),
    }
}

/// Supervises one sandbox from its boot to its end.
async fn supervise(
    host: &Arc<Host>,
    begin: Begin,
    (creator, gone): (Creator, CreatorGone),
    io: ContainerIo,
    (hosting, outlook): (Hosting<'_>, Outlook),
) -> Result<ExitStatus, Error> {
    let mut session = Session {
        ledger: host.store.ledger(&begin.config.id),
        inbox: Inbox::open(gone, &begin.plan.machine.directory, hosting)?,
        host,
        begin,
        hosting,
        creator,
        exits: Exits::new(),
        terminal: outlook.terminal,
        front: outlook.front,
    };
    let end = session.run(io).await;
    tracing::info!(sandbox = %session.begin.config.id, ?end, "sandbox ends");
    let status = session.status(&end);
    let lost = end.loss();
    finish::finish(session, end).await;
    if let Some(why) = lost {
        outlook
            .last_words
            .say(&format!("the sandbox was lost: {why}"));
    }
    Ok(status)
}

/// What the process that supervises has of the first container's surroundings.
#[derive(Debug, Default)]
struct Outlook {
    terminal: Option<Terminal>,
    last_words: LastWords,
    front: Option<Front>,
}

/// One sandbox under supervision.
#[derive(Debug)]
struct Session<'a> {
    host: &'a Arc<Host>,
    begin: Begin,
    ledger: Ledger,
    hosting: Hosting<'a>,
    inbox: Inbox,
    creator: Creator,
    /// How containers ended so far.
    exits: Exits,
    /// The first container's terminal, when it is this process's own.
    terminal: Option<Terminal>,
    /// The thread by which this process is seen, when that is another.
    front: Option<Front>,
}

impl End {
    /// What was lost, when that is the end.
    fn loss(&self) -> Option<String> {
        match self {
            Self::MachineLost(exit) => Some(exit.to_string()),
            Self::AgentLost(error) => Some(in_one_line(error)),
            Self::Terminated => Some("its supervisor was ended by SIGTERM".to_owned()),
            Self::BootFailed(_) | Self::CreatorGone | Self::Stopped(_) | Self::ContainerEnded => {
                None
            }
        }
    }
}

impl Session<'_> {
    /// How the first container ended, for whoever waits for this process.
    fn status(&self, end: &End) -> ExitStatus {
        let first = self.begin.config.containers.first();
        let seen = first.and_then(|first| self.exits.get(&first.id)).copied();
        match end {
            End::Stopped(_) | End::ContainerEnded => seen.unwrap_or(KILLED),
            _ => seen.unwrap_or(ExitStatus::LOST),
        }
    }

    async fn run(&mut self, io: ContainerIo) -> End {
        let ready = match self.bring_up().await {
            Ok(ready) => ready,
            Err(end) => return end,
        };
        let end = self.attend(&ready, io).await;
        // Asking beats killing: the monitor closes its files itself.
        let deadline = self.begin.plan.machine.deadlines.stop_machine;
        if let Err(error) = ready.machine.shutdown(deadline).await {
            tracing::warn!(%error, "the machine did not end as asked");
        }
        end
    }

    /// Boots, and tells the creator how it goes.
    async fn bring_up(&mut self) -> Result<Ready, End> {
        let begun = Instant::now();
        let Self {
            host,
            begin,
            ledger,
            hosting,
            inbox,
            creator,
            front,
            ..
        } = self;
        let (progress, mut phases) = progress_channel();
        let job = Job {
            host,
            config: &begin.config,
            plan: &begin.plan,
            ledger,
            die_with_thread: matches!(hosting, Hosting::Process),
            front: front.as_ref(),
            starts: begin.start,
            limit: begin.plan.machine.deadlines.boot,
        };
        // On the heap, where it takes no room once it is over.
        let mut booting = Box::pin(boot_and_start(job, &progress));
        let booted = loop {
            tokio::select! {
                biased;
                Some((phase, took)) = phases.recv() => tell_phase(creator, phase, took).await,
                wish = inbox.next() => match wish {
                    Wish::CreatorGone => return Err(End::CreatorGone),
                    Wish::Stop { told, .. } => return Err(End::Stopped(told)),
                    Wish::Terminate => return Err(End::BootFailed(Error::new(
                        ErrorKind::Gone,
                        "the supervisor was ended by SIGTERM during the boot",
                    ))),
                    // Nobody may make a container yet; whoever tries sees its stream closed.
                    Wish::Watch(_) | Wish::Stirred => {}
                },
                booted = &mut booting => break booted,
            }
        };
        while let Ok((phase, took)) = phases.try_recv() {
            tell_phase(creator, phase, took).await;
        }
        match booted {
            Ok(ready) => {
                let up = Up {
                    machine: ready.machine.save(),
                    facts: ready.facts.clone(),
                    network: ready.attached.clone(),
                };
                tell(creator, Report::Up(up)).await;
                Ok(ready)
            }
            Err(failure) => Err(End::BootFailed(explain(job, failure, begun))),
        }
    }
}

async fn boot_and_start(job: Job<'_>, progress: &Progress) -> Result<Ready, BootFailure> {
    let ready = boot::boot(job, progress).await?;
    // The guest has made the places by now where volumes are mounted.
    show_files(job).map_err(|error| BootFailure {
        phase: Phase::Containers,
        error,
        exit: None,
    })?;
    if job.starts {
        let since = Instant::now();
        for container in &job.config.containers {
            let started = ready.agent.start_container(&container.id).await;
            started
                .during(|| format!("the guest cannot start container {}", container.id))
                .map_err(|error| BootFailure {
                    phase: Phase::Start,
                    error,
                    exit: None,
                })?;
        }
        progress.completed(Phase::Start, since.elapsed());
    }
    Ok(ready)
}

/// Lets this process be seen with the first container's files instead of the host's.
fn show_files(job: Job<'_>) -> Result<(), Error> {
    let Some((front, first)) = job.front.zip(job.config.containers.first()) else {
        return Ok(());
    };
    let shown = boot::view_of(first, false).and_then(|view| front.show(view));
    shown.during(|| "the supervisor still shows the files of the host".to_owned())
}

fn progress_channel() -> (Progress, mpsc::UnboundedReceiver<(Phase, Duration)>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let tell = move |phase, took| {
        // Nobody listens any more once the boot is over.
        sender.send((phase, took)).unwrap_or_default();
    };
    (Progress::new(tell), receiver)
}

async fn tell_phase(creator: &mut Creator, phase: Phase, took: Duration) {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tell(creator, Report::Phase { phase, millis }).await;
}

/// A creator that is gone is noticed by the inbox.
async fn tell(creator: &mut Creator, report: Report) {
    if let Err(error) = creator.send(report).await {
        tracing::debug!(%error, "the creator does not listen");
    }
}

/// The error of a failed boot, with everything that was seen of it.
fn explain(job: Job<'_>, failure: BootFailure, begun: Instant) -> Error {
    let BootFailure { phase, error, exit } = failure;
    // Nothing of the machine was there yet, of which a report could tell.
    if phase == Phase::Share {
        return error;
    }
    let console = console::read(&job.plan.machine.directory);
    let console = console::last_lines(&console, CONSOLE_LINES);
    let checks = diagnosis::likely_causes(
        phase,
        job.host.backend.is_accelerated(),
        &console,
        exit.as_ref(),
    );
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    error.with_report(BootReport {
        phase,
        elapsed_ms,
        machine_exit: exit,
        console,
        checks,
    })
}
