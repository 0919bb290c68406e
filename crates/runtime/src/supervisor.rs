//! The supervisor: the one long-lived owner of a sandbox's machine, streams and end.
//!
//! It brings the sandbox up while its creator holds the lease, then waits: for a container's end,
//! for the machine's, for its creator's, for a request to stop. It holds no lease while it waits,
//! and idle it makes no system call. Whatever the end is, it undoes all that the ledger tells of,
//! says in the record what happened, and goes; that its sockets close then is the sign for all
//! who wait for it.

pub(crate) mod carry;
pub(crate) mod console;
pub(crate) mod control;
mod finish;
mod inbox;
mod inherited;
mod start;

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use virtcontainers_agent::{AgentPort, ProcessRef};
use virtcontainers_hypervisor::MachineExit;
use virtcontainers_store::Ledger;
use virtcontainers_types::{Attachment, ContainerId, ExitStatus, Lifetime};

pub(crate) use inbox::{ask_to_stop, wait_for_end};
pub use inherited::SupervisorStart;
pub(crate) use start::{Held, start};

use crate::boot::{self, BootFailure, Job, Phase, Ready};
use crate::diagnosis::{self, BootReport, CONSOLE_LINES};
use crate::error::{Context, Error, ErrorKind};
use crate::host::Host;
use crate::options::{ContainerIo, Progress};
use control::{Begin, Report, Request, Sender, Up};
use inbox::{Inbox, Wish};

/// How long the end of the machine may follow the loss of its agent and still be its cause.
const CAUSE_WINDOW: Duration = Duration::from_millis(500);

/// Whether the supervisor is a process or a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hosting {
    /// The process is the supervisor's own, on one thread.
    Process,
    /// Other things run in the process.
    Task,
}

/// How a sandbox came to its end.
#[derive(Debug)]
enum End {
    /// It did not come up.
    BootFailed(Error),
    /// Its creator is gone, and it was to end with it.
    CreatorGone,
    /// Somebody asked, who holds the lease and will write the record.
    Stopped,
    /// The supervisor's process was told to end.
    Terminated,
    /// The container that it was made for ended.
    ContainerEnded(ExitStatus),
    /// Its machine, or a helper of it, ended by itself.
    MachineLost(MachineExit),
    /// Its agent went silent.
    AgentLost(Error),
}

/// Supervises one sandbox from its boot to its end. `control` is the stream to the creator.
///
/// Errors: `Incompatible` when the creator does not begin as expected. What happens to the sandbox
/// is told to the creator and stored, not returned.
pub(crate) async fn supervise(
    host: &Host,
    control: UnixStream,
    io: ContainerIo,
    hosting: Hosting,
) -> Result<(), Error> {
    if hosting == Hosting::Process {
        // It may share the creator's terminal, whose keys are for the container.
        virtcontainers_process::ignore_terminal_signals()
            .during(|| "cannot start to supervise".to_owned())?;
    }
    let (mut receiver, sender) = control::split(control);
    let begin = match receiver.next::<Request>().await? {
        Some(Request::Begin(begin)) => *begin,
        // The creator died before it said anything; the next call cleans up after it.
        Some(Request::Stop) | None => return Ok(()),
    };
    let mut session = Session {
        ledger: host.store.ledger(&begin.config.id),
        inbox: Inbox::open(receiver, &begin.plan.machine.directory, hosting)?,
        host,
        begin,
        hosting,
        sender,
    };
    let end = session.run(io).await;
    tracing::info!(sandbox = %session.begin.config.id, ?end, "sandbox ends");
    finish::finish(session, end).await;
    Ok(())
}

/// One sandbox under supervision.
#[derive(Debug)]
struct Session<'a> {
    host: &'a Host,
    begin: Begin,
    ledger: Ledger,
    hosting: Hosting,
    inbox: Inbox,
    sender: Sender,
}

impl Session<'_> {
    async fn run(&mut self, io: ContainerIo) -> End {
        let ready = match self.bring_up().await {
            Ok(ready) => ready,
            Err(end) => return end,
        };
        let end = self.watch(&ready, io).await;
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
            sender,
        } = self;
        let (progress, mut phases) = progress_channel();
        let job = Job {
            host,
            config: &begin.config,
            plan: &begin.plan,
            ledger,
            die_with_thread: *hosting == Hosting::Process,
            limit: begin.plan.machine.deadlines.boot,
        };
        let mut booting = pin!(boot_and_start(job, begin.start, &progress));
        let booted = loop {
            tokio::select! {
                biased;
                Some((phase, took)) = phases.recv() => tell_phase(sender, phase, took).await,
                wish = inbox.next() => return Err(match wish {
                    Wish::CreatorGone => End::CreatorGone,
                    Wish::Stop => End::Stopped,
                    Wish::Terminate => End::BootFailed(Error::new(
                        ErrorKind::Gone,
                        "the supervisor was ended by SIGTERM during the boot",
                    )),
                }),
                booted = &mut booting => break booted,
            }
        };
        while let Ok((phase, took)) = phases.try_recv() {
            tell_phase(sender, phase, took).await;
        }
        match booted {
            Ok(ready) => {
                let up = Up {
                    machine: ready.machine.save(),
                    facts: ready.facts.clone(),
                };
                tell(sender, &Report::Up(up)).await;
                Ok(ready)
            }
            Err(failure) => Err(End::BootFailed(explain(job, failure, begun))),
        }
    }

    /// Waits for whatever ends the sandbox.
    async fn watch(&mut self, ready: &Ready, io: ContainerIo) -> End {
        let mut carried = carry_all(ready, &self.begin, io);
        let oom = tokio::spawn(log_oom_events(ready.agent.clone()));
        let mut lost = pin!(ready.lost());
        let end = loop {
            tokio::select! {
                exit = &mut lost => break End::MachineLost(exit),
                Some(carried) = carried.join_next() => {
                    let (index, ended) = match carried {
                        Ok(carried) => carried,
                        Err(error) => break End::AgentLost(
                            Error::new(ErrorKind::Internal, "a stream task died").because(error),
                        ),
                    };
                    match (ended, self.begin.config.lifetime) {
                        (Ok(status), Lifetime::FirstContainer) if index == 0 => {
                            break End::ContainerEnded(status);
                        }
                        (Ok(status), Lifetime::FirstContainer | Lifetime::Explicit) => {
                            let id = &self.begin.config.containers[index].id;
                            finish::note_container_end(self, id.clone(), status).await;
                        }
                        // The machine's end is the better explanation, if it follows.
                        (Err(error), _) => break match timeout(CAUSE_WINDOW, &mut lost).await {
                            Ok(exit) => End::MachineLost(exit),
                            Err(_) => End::AgentLost(error),
                        },
                    }
                }
                wish = self.inbox.next() => match (wish, self.begin.plan.attachment) {
                    (Wish::Stop, _) => break End::Stopped,
                    (Wish::Terminate, _) => break End::Terminated,
                    (Wish::CreatorGone, Attachment::Attached) => break End::CreatorGone,
                    (Wish::CreatorGone, Attachment::Detached) => {}
                },
            }
        };
        oom.abort();
        end
    }
}

async fn boot_and_start(
    job: Job<'_>,
    start: bool,
    progress: &Progress,
) -> Result<Ready, BootFailure> {
    let ready = boot::boot(job, progress).await?;
    if start {
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

/// Carries the streams of all containers, the first one's to `io`.
fn carry_all(
    ready: &Ready,
    begin: &Begin,
    io: ContainerIo,
) -> JoinSet<(usize, Result<ExitStatus, Error>)> {
    let mut carried = JoinSet::new();
    let mut io = Some(io);
    for (index, container) in begin.config.containers.iter().enumerate() {
        let process = ProcessRef::init(ContainerId::clone(&container.id));
        let carrier = carry::Carrier::new(
            ready.agent.clone(),
            process,
            container.has_terminal(),
            &ready.facts,
        );
        let io = io.take().unwrap_or_default();
        carried.spawn(async move { (index, carrier.carry(io).await) });
    }
    carried
}

async fn log_oom_events(agent: virtcontainers_agent::Agent) {
    while let Ok(Some(container)) = agent.get_oom_event().await {
        tracing::warn!(container, "the container ran out of memory");
    }
}

fn progress_channel() -> (Progress, mpsc::UnboundedReceiver<(Phase, Duration)>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let tell = move |phase, took| {
        // Nobody listens any more once the boot is over.
        sender.send((phase, took)).unwrap_or_default();
    };
    (Progress::new(tell), receiver)
}

async fn tell_phase(sender: &mut Sender, phase: Phase, took: Duration) {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tell(sender, &Report::Phase { phase, millis }).await;
}

/// A creator that is gone is noticed by the inbox.
async fn tell(sender: &mut Sender, report: &Report) {
    if let Err(error) = sender.send(report).await {
        tracing::debug!(%error, "the creator does not listen");
    }
}

/// The error of a failed boot, with everything that was seen of it.
fn explain(job: Job<'_>, failure: BootFailure, begun: Instant) -> Error {
    let BootFailure { phase, error, exit } = failure;
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
