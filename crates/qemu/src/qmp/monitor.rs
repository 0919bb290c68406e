//! One connection to QEMU: a task owns the stream, everybody else talks to the task.
//!
//! The owner awaits every reply, whether its asker still does or not, so that a dropped future can
//! neither tear a message nor shift an answer to the next question.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use qapi::qmp::{Event, QapiCapabilities, qmp_capabilities};
use qapi::{Command, Execute};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::frame::Lines;
use super::message::{Message, Refusal, parse};

/// Commands that may be under way at once; the next one waits for its turn.
const MAX_PENDING: usize = 32;
/// Events that a subscriber may be behind. One that is further behind loses the oldest, and is told
/// how many; the protocol's loop never waits for a subscriber.
const EVENTS_KEPT: usize = 64;

/// A command did not bring an answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The connection has ended, and most likely QEMU with it.
    #[error("the monitor's connection has ended: {0}")]
    Gone(String),
    /// QEMU sent what the protocol does not allow.
    #[error("qemu does not follow its protocol: {0}")]
    Corrupt(String),
    /// No answer in time. The command may still take effect.
    #[error("qemu has not answered {command} within {} ms", .deadline.as_millis())]
    Timeout {
        command: &'static str,
        deadline: Duration,
    },
    /// QEMU answered with an error.
    #[error("qemu refused {command}: {text}")]
    Refused {
        command: &'static str,
        class: String,
        text: String,
    },
}

/// A connection on which commands are possible. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Monitor {
    name: &'static str,
    requests: mpsc::Sender<Request>,
    events: broadcast::WeakSender<Event>,
    next_id: AtomicU64,
    end: Arc<OnceLock<End>>,
    owner: JoinHandle<()>,
}

/// How the connection ended, for those who ask later.
#[derive(Debug, Clone)]
enum End {
    Gone(String),
    Corrupt(String),
}

#[derive(Debug)]
struct Request {
    id: u64,
    line: Vec<u8>,
    reply: oneshot::Sender<Result<Value, Refusal>>,
}

impl Monitor {
    /// Takes QEMU's greeting and enters command mode. Until then nobody has a `Monitor`, so no
    /// command can come too early.
    ///
    /// `name` is that of the monitor's socket. Another client on the same monitor keeps the greeting
    /// from coming: that is a `Timeout`.
    pub(crate) async fn negotiate(
        stream: UnixStream,
        name: &'static str,
        deadline: Duration,
    ) -> Result<Self, Failure> {
        let (requests, asked) = mpsc::channel(MAX_PENDING);
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let (greeted, greeting) = oneshot::channel();
        let end = Arc::new(OnceLock::new());
        let weak_events = events.downgrade();
        let owner = Owner {
            stream,
            lines: Lines::default(),
            unsent: Vec::new(),
            pending: BTreeMap::new(),
            events,
            greeted: Some(greeted),
        };
        let monitor = Self {
            name,
            requests,
            events: weak_events,
            next_id: AtomicU64::new(1),
            end: Arc::clone(&end),
            owner: tokio::spawn(owner.run(asked, end)),
        };
        let in_command_mode = async {
            let greeting = greeting.await.map_err(|_| monitor.ended())?;
            let version = greeting.QMP.version.qemu;
            tracing::debug!(version.major, version.minor, "greeted by qemu");
            monitor.ask(qmp_capabilities { enable: None }).await
        };
        match tokio::time::timeout(deadline, in_command_mode).await {
            Ok(entered) => entered.map(|_| monitor),
            Err(_elapsed) => Err(Failure::Timeout {
                command: "the connection with a greeting",
                deadline,
            }),
        }
    }

    /// Runs a command. Dropping the future does not take the command back.
    pub(crate) async fn execute<C: Command>(
        &self,
        command: C,
        deadline: Duration,
    ) -> Result<C::Ok, Failure> {
        match tokio::time::timeout(deadline, self.ask(command)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Failure::Timeout {
                command: C::NAME,
                deadline,
            }),
        }
    }

    /// A subscription to the events from now on; none when the connection has ended.
    pub(crate) fn events(&self) -> Option<broadcast::Receiver<Event>> {
        self.events.upgrade().map(|events| events.subscribe())
    }

    /// Each command is a span, so that a log tells which operation it belongs to and how long it
    /// took.
    async fn ask<C: Command>(&self, command: C) -> Result<C::Ok, Failure> {
        let (command_name, monitor) = (C::NAME, self.name);
        let span = tracing::debug_span!("qmp", subsystem = "qemu", command = command_name, monitor);
        self.exchange(command).instrument(span).await
    }

    async fn exchange<C: Command>(&self, command: C) -> Result<C::Ok, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let corrupt = |error: serde_json::Error| Failure::Corrupt(error.to_string());
        let mut line = serde_json::to_vec(&Execute::with_id(command, id)).map_err(corrupt)?;
        line.push(b'\n');
        let (reply, answer) = oneshot::channel();
        let request = Request { id, line, reply };
        let asked = self.requests.send(request).await;
        asked.map_err(|_| self.ended())?;
        match answer.await {
            Err(_dropped) => Err(self.ended()),
            Ok(Ok(value)) => serde_json::from_value(value).map_err(corrupt),
            Ok(Err(refusal)) => Err(Failure::Refused {
                command: C::NAME,
                class: refusal.class,
                text: refusal.desc,
            }),
        }
    }

    fn ended(&self) -> Failure {
        match self.end.get() {
            Some(End::Gone(reason)) => Failure::Gone(reason.clone()),
            Some(End::Corrupt(reason)) => Failure::Corrupt(reason.clone()),
            None => Failure::Gone("its owner was stopped".to_owned()),
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.owner.abort();
    }
}

/// What the owning task holds. All waiters hang on it: when it is dropped, they learn of it.
struct Owner {
    stream: UnixStream,
    lines: Lines,
    unsent: Vec<u8>,
    pending: BTreeMap<u64, oneshot::Sender<Result<Value, Refusal>>>,
    events: broadcast::Sender<Event>,
    greeted: Option<oneshot::Sender<Box<QapiCapabilities>>>,
}

impl Owner {
    async fn run(mut self, mut asked: mpsc::Receiver<Request>, end: Arc<OnceLock<End>>) {
        let reason = loop {
            let interest = match self.unsent.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            let may_ask = self.pending.len() < MAX_PENDING;
            let step = tokio::select! {
                request = asked.recv(), if may_ask => match request {
                    Some(request) => {
                        self.unsent.extend_from_slice(&request.line);
                        self.pending.insert(request.id, request.reply);
                        self.send()
                    }
                    None => Err(End::Gone("nobody uses it".to_owned())),
                },
                ready = self.stream.ready(interest) => match ready {
                    Ok(ready) if ready.is_readable() || ready.is_read_closed() => self.receive(),
                    Ok(_) => self.send(),
                    Err(error) => Err(gone(&error)),
                },
            };
            if let Err(reason) = step {
                break reason;
            }
        };
        // Told before the waiters' channels close with `self`, so that they find the reason.
        end.get_or_init(|| reason);
    }

    fn send(&mut self) -> Result<(), End> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        match self.stream.try_write(&self.unsent) {
            Ok(sent) => {
                self.unsent.drain(..sent);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(gone(&error)),
        }
    }

    fn receive(&mut self) -> Result<(), End> {
        self.send()?;
        let mut chunk = [0; 16 * 1024];
        match self.stream.try_read(&mut chunk) {
            Ok(0) => return Err(End::Gone("qemu closed it".to_owned())),
            Ok(length) => self.lines.push(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(gone(&error)),
        }
        loop {
            match self.lines.next() {
                Ok(Some(line)) => self.route(&line)?,
                Ok(None) => return Ok(()),
                Err(_) => return Err(End::Corrupt("a line has no end".to_owned())),
            }
        }
    }

    fn route(&mut self, line: &[u8]) -> Result<(), End> {
        let message = parse(line).map_err(|error| End::Corrupt(error.to_string()))?;
        match (message, self.greeted.take()) {
            // An asker that has given up has dropped its receiver: nothing is left to do then.
            (Message::Greeting(greeting), Some(greeted)) => drop(greeted.send(greeting)),
            (_, Some(_)) => return Err(End::Corrupt("it did not begin with a greeting".into())),
            (Message::Greeting(_), None) => return Err(End::Corrupt("a second greeting".into())),
            (Message::Reply { id, result }, None) => match self.pending.remove(&id) {
                Some(reply) => drop(reply.send(result)),
                None => return Err(End::Corrupt(format!("an answer to nothing, id {id}"))),
            },
            (Message::Event(event), None) => {
                tracing::debug!(?event, "qemu reported");
                // Without subscribers an event is dropped; that is not a failure.
                drop(self.events.send(*event));
            }
            (Message::ForeignEvent(name), None) => tracing::debug!(name, "unknown event"),
        }
        Ok(())
    }
}

fn gone(error: &io::Error) -> End {
    End::Gone(error.to_string())
}
