//! Further processes in a container.

use std::sync::Arc;

use tokio::net::UnixStream;
use virtcontainers_agent::ProcessRef;
use virtcontainers_agent::spec::{self, Dialect};
use virtcontainers_agent_proto::EXACT_SPEC_FEATURE;
use virtcontainers_types::{ContainerId, ExecId, ExitStatus, GuestFacts};

use crate::Agent;
use crate::error::{Context, Error, ErrorKind, of_command};
use crate::options::ContainerIo;
use crate::supervisor::carry::Carrier;
use crate::supervisor::control::{self, Receiver, Report, Request, Sender};

/// A process to start in a container.
#[derive(Debug)]
pub struct ExecRequest {
    /// The container.
    pub container: ContainerId,
    /// The process (OCI runtime-spec 1.2, `process`).
    pub process: oci_spec::runtime::Process,
    /// Where its streams go.
    pub io: ContainerIo,
}

/// A process that was started in a container.
#[derive(Debug)]
pub struct ExecProcess {
    agent: Agent,
    id: ExecId,
    process: ProcessRef,
    carrier: Carrier,
    io: ContainerIo,
}

impl ExecProcess {
    pub(crate) async fn start(
        agent: Agent,
        facts: &GuestFacts,
        exec: ExecId,
        request: ExecRequest,
    ) -> Result<Self, Error> {
        let ExecRequest {
            container,
            process: spec,
            io,
        } = request;
        let terminal = spec.terminal().unwrap_or(false);
        let failed = || format!("cannot start a process in container {container}");
        let process = ProcessRef::exec_of(container.clone(), exec.clone());
        let (converted, left_out) = spec::exec(&spec, dialect(facts)).during(failed)?;
        tracing::debug!(%process, ?left_out, "what is not sent to the guest");
        agent
            .exec_process(&process, converted)
            .await
            .map_err(|error| of_command(error, failed()))?;
        let carrier = Carrier::new(Arc::clone(&agent), process.clone(), terminal, facts);
        Ok(Self {
            agent,
            id: exec,
            process,
            carrier,
            io,
        })
    }

    /// The name by which a handle's operations on processes find it.
    pub fn id(&self) -> &ExecId {
        &self.id
    }

    pub(crate) fn reference(&self) -> &ProcessRef {
        &self.process
    }

    /// Someone who can signal the process and resize its terminal while it is waited for.
    pub fn remote(&self) -> ExecRemote {
        ExecRemote {
            agent: Arc::clone(&self.agent),
            process: self.process.clone(),
        }
    }

    /// Carries the process's streams until it ended and its output is complete; a stream that a
    /// background child holds open is given up after half a second of silence.
    ///
    /// Errors: `Gone` when the guest is lost. Dropping the future leaves the process running.
    pub async fn wait(self) -> Result<ExitStatus, Error> {
        self.carrier.carry(self.io).await
    }
}

/// Reaches an exec'd process from elsewhere.
#[derive(Debug, Clone)]
pub struct ExecRemote {
    agent: Agent,
    process: ProcessRef,
}

impl ExecRemote {
    /// Sends a signal. Success when the process has ended already.
    pub async fn signal(&self, signal: u32) -> Result<(), Error> {
        let sent = self.agent.signal_process(&self.process, signal).await;
        if matches!(&sent, Err(error) if error.kind() == ErrorKind::NotFound) {
            // It was there: somebody waited for its end.
            return Ok(());
        }
        sent.during(|| format!("cannot send signal {signal} to process {}", self.process))
    }

    /// Sets the size of its terminal.
    pub async fn resize_terminal(&self, rows: u32, columns: u32) -> Result<(), Error> {
        let resized = self
            .agent
            .tty_win_resize(&self.process, rows, columns)
            .await;
        resized.during(|| format!("cannot resize the terminal of process {}", self.process))
    }
}

/// A process in a container that this process stands for: the sandbox's supervisor started it and
/// carries its streams. It is killed when this is dropped, or this process dies, before its end.
#[derive(Debug)]
pub struct AttachedExec {
    receiver: Receiver,
    sender: Sender,
}

impl AttachedExec {
    pub(crate) async fn begin(line: UnixStream) -> Result<Self, Error> {
        let (receiver, mut sender) = control::split(line);
        sender.send(&Request::Stand).await?;
        Ok(Self { receiver, sender })
    }

    /// Someone who can signal the process and resize its terminal while it is waited for.
    pub fn remote(&self) -> AttachedRemote {
        AttachedRemote(self.sender.clone())
    }

    /// Waits until the process has ended and its output is complete; 137 when it ended with its
    /// container.
    ///
    /// Errors: `Gone` when the sandbox is lost, saying why. Dropping the future kills the process.
    pub async fn wait(mut self) -> Result<ExitStatus, Error> {
        let lost = match self.receiver.next::<Report>().await {
            Ok(Some(Report::Ended(status))) => return Ok(status),
            Ok(Some(Report::Lost(why))) => why,
            Ok(_) => "its supervisor has ended".to_owned(),
            Err(error) => return Err(error),
        };
        let message = format!("the sandbox was lost: {lost}");
        Err(Error::new(ErrorKind::Gone, message))
    }
}

/// Reaches an attached process from elsewhere. What comes too late for it has no effect.
#[derive(Debug, Clone)]
pub struct AttachedRemote(Sender);

impl AttachedRemote {
    /// Sends a signal. Errors: `Gone` when it has ended.
    pub async fn signal(&mut self, signal: u32) -> Result<(), Error> {
        self.0.send(&Request::Signal { signal }).await
    }

    /// Sets the size of its terminal. Errors: `Gone` when it has ended.
    pub async fn resize_terminal(&mut self, rows: u32, columns: u32) -> Result<(), Error> {
        self.0.send(&Request::Resize { rows, columns }).await
    }
}

/// How the agent of a guest that was set up reads specifications.
pub(crate) fn dialect(facts: &GuestFacts) -> Dialect {
    match facts.features.iter().any(|word| word == EXACT_SPEC_FEATURE) {
        true => Dialect::Exact,
        false => Dialect::Kata,
    }
}
