//! One connection to QEMU: a task owns the stream, everybody else talks to the task.
//!
//! The owner awaits every reply, whether its asker still does or not, so that a dropped future can
//! neither tear a message nor shift an answer to the next question.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use qapi::qmp::{Event, getfd, qmp_capabilities};
use qapi::{Command, Execute};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::owner::{End, MAX_PENDING, Owner, Request};

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
        let owner = Owner::new(stream, events, greeted);
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
            monitor.ask(qmp_capabilities { enable: None }, None).await
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
        self.within(deadline, command, None).await
    }

    /// Gives QEMU a descriptor, which later commands on this connection may use by this name. One
    /// that has the name already is closed. Dropping the future does not take it back.
    pub(crate) async fn pass(
        &self,
        name: String,
        descriptor: OwnedFd,
        deadline: Duration,
    ) -> Result<(), Failure> {
        let command = getfd { fdname: name };
        let passed = self.within(deadline, command, Some(descriptor)).await;
        passed.map(drop)
    }

    async fn within<C: Command>(
        &self,
        deadline: Duration,
        command: C,
        descriptor: Option<OwnedFd>,
    ) -> Result<C::Ok, Failure> {
        match tokio::time::timeout(deadline, self.ask(command, descriptor)).await {
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
    async fn ask<C: Command>(
        &self,
        command: C,
        descriptor: Option<OwnedFd>,
    ) -> Result<C::Ok, Failure> {
        let (command_name, monitor) = (C::NAME, self.name);
        let span = tracing::debug_span!("qmp", subsystem = "qemu", command = command_name, monitor);
        self.exchange(command, descriptor).instrument(span).await
    }

    async fn exchange<C: Command>(
        &self,
        command: C,
        descriptor: Option<OwnedFd>,
    ) -> Result<C::Ok, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let corrupt = |error: serde_json::Error| Failure::Corrupt(error.to_string());
        let mut line = serde_json::to_vec(&Execute::with_id(command, id)).map_err(corrupt)?;
        line.push(b'\n');
        let (reply, answer) = oneshot::channel();
        let request = Request {
            id,
            line,
            descriptor,
            reply,
        };
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
