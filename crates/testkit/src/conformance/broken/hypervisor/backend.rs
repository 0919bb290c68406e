//! A backend that is wrong in one way.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use virtcontainers_hypervisor::{
    Backend, Error, ErrorKind, Handoffs, Launched, Machine, MachinePlan, SavedMachine,
};
use virtcontainers_types::{AgentEndpoint, Capabilities, UndoEntry, UndoSink};

use super::Undone;
use super::launched::{BrokenLaunched, Forgotten, TooEarly};
use super::machine::BrokenMachine;

#[derive(Debug)]
pub(super) struct BrokenBackend {
    inner: Arc<dyn Backend>,
    breaks: &'static str,
    undone: Undone,
    has_launched: AtomicBool,
}

impl BrokenBackend {
    pub(super) fn new(inner: Arc<dyn Backend>, breaks: &'static str, undone: Undone) -> Self {
        let has_launched = AtomicBool::new(false);
        Self {
            inner,
            breaks,
            undone,
            has_launched,
        }
    }
}

/// The same error as another kind.
pub(super) fn recast(error: Error, from: ErrorKind, to: ErrorKind) -> Error {
    match error.kind() == from {
        true => Error::new(to, "said wrongly").with_source(error),
        false => error,
    }
}

#[async_trait]
impl Backend for BrokenBackend {
    fn name(&self) -> &'static str {
        let early = !self.has_launched.load(Ordering::SeqCst);
        match self.breaks {
            "the-name-is-stable" if early => "Not Yet Named",
            _ => self.inner.name(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_accelerated(&self) -> bool {
        self.inner.is_accelerated()
    }

    fn check(&self, plan: &MachinePlan) -> Result<(), Error> {
        match self.breaks {
            "foreseeable-failures-are-refused" => {
                plan.check_network_devices(self.capabilities().network_devices)
            }
            "a-check-has-no-effect" => {
                self.inner.check(plan)?;
                let ledger = Buffer::default();
                let launch = self
                    .inner
                    .launch(plan.clone(), Handoffs::default(), &ledger);
                std::mem::forget(launch.now_or_never());
                Ok(())
            }
            "sharing-needs-the-ability" => {
                let share = None;
                self.inner.check(&MachinePlan {
                    share,
                    ..plan.clone()
                })
            }
            "network-devices-are-counted" => {
                let network_devices = Vec::new();
                self.inner.check(&MachinePlan {
                    network_devices,
                    ..plan.clone()
                })
            }
            _ => self.inner.check(plan),
        }
    }

    fn agent_endpoint(&self, plan: &MachinePlan) -> Result<AgentEndpoint, Error> {
        match self.breaks {
            "the-endpoint-is-known-before" => Ok(elsewhere()),
            _ => self.inner.agent_endpoint(plan),
        }
    }

    async fn launch(
        &self,
        plan: MachinePlan,
        mut handoffs: Handoffs,
        undo: &dyn UndoSink,
    ) -> Result<Box<dyn Launched>, Error> {
        self.has_launched.store(true, Ordering::SeqCst);
        let inner = &self.inner;
        let launched = match self.breaks {
            "a-refused-launch-has-no-effect" if inner.check(&plan).is_err() => {
                let entry = UndoEntry {
                    owner: inner.name().to_owned(),
                    version: 1,
                    payload: serde_json::json!({ "id": plan.id }),
                };
                // What is wrong is that it is entered at all.
                drop(undo.record(entry));
                inner.launch(plan, handoffs, undo).await?
            }
            "a-launch-holds-the-cpus" => {
                let machine = inner.launch(plan, handoffs, undo).await?.start().await?;
                return Ok(Box::new(TooEarly::new(machine)));
            }
            "a-dropped-launch-leaves-nothing" => {
                let launched = inner.launch(plan, handoffs, undo).await?;
                let kept = Forgotten::new(launched);
                tokio::task::yield_now().await;
                kept.take()?
            }
            "network-devices-are-handed-over" if handoffs.check_network_devices(&plan).is_err() => {
                let network_devices = Vec::new();
                let plan = MachinePlan {
                    network_devices,
                    ..plan
                };
                inner.launch(plan, handoffs, undo).await?
            }
            "processes-are-in-the-namespace" => {
                handoffs.network_namespace = None;
                inner.launch(plan, handoffs, undo).await?
            }
            "processes-die-with-their-launcher" => {
                handoffs.die_with_launcher = false;
                inner.launch(plan, handoffs, undo).await?
            }
            "entries-bear-the-name" => {
                let sink = Renaming(undo);
                inner.launch(plan, handoffs, &sink).await?
            }
            "no-effect-without-its-entry" => {
                let sink = Careless(undo);
                inner.launch(plan, handoffs, &sink).await?
            }
            "effects-are-entered-first" => {
                let buffer = Buffer::default();
                let launched = inner.launch(plan, handoffs, &buffer).await?;
                for entry in buffer.entries() {
                    undo.record(entry).map_err(|error| {
                        Error::new(ErrorKind::Internal, "cannot write an undo entry")
                            .with_source(error)
                    })?;
                }
                launched
            }
            _ => inner.launch(plan, handoffs, undo).await?,
        };
        Ok(Box::new(BrokenLaunched::new(launched, self.breaks)))
    }

    async fn adopt(&self, saved: &SavedMachine) -> Result<Arc<dyn Machine>, Error> {
        let adopted = self.inner.adopt(saved).await;
        let machine = adopted.map_err(|error| match self.breaks {
            "adopting-what-ended-is-gone" => recast(error, ErrorKind::Gone, ErrorKind::NotFound),
            "adopting-needs-the-ability" => {
                recast(error, ErrorKind::Unsupported, ErrorKind::Internal)
            }
            _ => error,
        })?;
        Ok(Arc::new(BrokenMachine::adopted(machine, self.breaks)))
    }

    fn undo(&self, entry: &UndoEntry) -> Result<(), Error> {
        let mut undone = self.undone.lock().unwrap_or_else(PoisonError::into_inner);
        let again = undone.contains(entry);
        undone.push(entry.clone());
        match self.breaks {
            "an-undo-leaves-nothing" => Ok(()),
            "an-undo-is-safe-twice" if again => {
                Err(Error::new(ErrorKind::NotFound, "it was undone before"))
            }
            "an-undo-of-nothing-is-safe" if !again => {
                let saved = SavedMachine {
                    version: 1,
                    data: entry.payload.clone(),
                };
                // A fake that is a value answers at once.
                let adopted = self.inner.adopt(&saved).now_or_never();
                adopted.transpose()?;
                self.inner.undo(entry)
            }
            _ => self.inner.undo(entry),
        }
    }
}

pub(super) fn elsewhere() -> AgentEndpoint {
    AgentEndpoint::Unix {
        path: "/elsewhere/agent.sock".into(),
    }
}

/// Keeps entries to itself.
#[derive(Debug, Default)]
struct Buffer(Mutex<Vec<UndoEntry>>);

impl Buffer {
    fn entries(&self) -> Vec<UndoEntry> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl UndoSink for Buffer {
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry);
        Ok(())
    }
}

/// Enters things under another name.
#[derive(Debug)]
struct Renaming<'a>(&'a dyn UndoSink);

impl UndoSink for Renaming<'_> {
    fn record(&self, mut entry: UndoEntry) -> io::Result<()> {
        entry.owner = "somebody".to_owned();
        self.0.record(entry)
    }
}

/// Does not look whether an entry was written.
#[derive(Debug)]
struct Careless<'a>(&'a dyn UndoSink);

impl UndoSink for Careless<'_> {
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        self.0.record(entry).or(Ok(()))
    }
}
