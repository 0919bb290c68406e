//! The task that owns a connection.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use qapi::qmp::{Event, QapiCapabilities};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::frame::Lines;
use super::message::{Message, Refusal, parse};
use super::outbox::Outbox;

/// Commands that may be under way at once; the next one waits for its turn.
pub(super) const MAX_PENDING: usize = 32;

/// How the connection ended, for those who ask later.
#[derive(Debug, Clone)]
pub(super) enum End {
    Gone(String),
    Corrupt(String),
}

/// A command and who asks it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) line: Vec<u8>,
    /// What goes along.
    pub(super) descriptor: Option<OwnedFd>,
    pub(super) reply: oneshot::Sender<Result<Value, Refusal>>,
}

/// What the owning task holds. All waiters hang on it: when it is dropped, they learn of it.
pub(super) struct Owner {
    stream: UnixStream,
    lines: Lines,
    unsent: Outbox,
    pending: BTreeMap<u64, oneshot::Sender<Result<Value, Refusal>>>,
    /// The command with a descriptor that is under way. QEMU keeps only the last descriptor that came,
    /// so the next one waits until this one was taken.
    passing: Option<u64>,
    waiting: VecDeque<Request>,
    events: broadcast::Sender<Event>,
    greeted: Option<oneshot::Sender<Box<QapiCapabilities>>>,
}

impl Owner {
    pub(super) fn new(
        stream: UnixStream,
        events: broadcast::Sender<Event>,
        greeted: oneshot::Sender<Box<QapiCapabilities>>,
    ) -> Self {
        Self {
            stream,
            lines: Lines::default(),
            unsent: Outbox::default(),
            pending: BTreeMap::new(),
            passing: None,
            waiting: VecDeque::new(),
            events,
            greeted: Some(greeted),
        }
    }

    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Request>, end: Arc<OnceLock<End>>) {
        let reason = loop {
            let interest = match self.unsent.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            let may_ask = self.pending.len() + self.waiting.len() < MAX_PENDING;
            let step = tokio::select! {
                request = asked.recv(), if may_ask => match request {
                    Some(request) => {
                        self.take(request);
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

    fn take(&mut self, request: Request) {
        match (&request.descriptor, self.passing) {
            (Some(_), Some(_)) => self.waiting.push_back(request),
            (Some(_), None) => {
                self.passing = Some(request.id);
                self.enqueue(request);
            }
            (None, _) => self.enqueue(request),
        }
    }

    fn enqueue(&mut self, request: Request) {
        self.pending.insert(request.id, request.reply);
        self.unsent.push(request.line, request.descriptor);
    }

    /// The next descriptor's turn, if somebody still wants it passed.
    fn passed(&mut self) {
        self.passing = None;
        while let Some(request) = self.waiting.pop_front() {
            if !request.reply.is_closed() {
                return self.take(request);
            }
        }
    }

    fn send(&mut self) -> Result<(), End> {
        let sent = self.unsent.send(&self.stream);
        sent.map_err(|error| gone(&error))
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
                Some(reply) => {
                    drop(reply.send(result));
                    if self.passing == Some(id) {
                        self.passed();
                        return self.send();
                    }
                }
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
