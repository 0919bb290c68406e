//! A backend with points before and after everything that it does.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use async_trait::async_trait;
use virtcontainers_hypervisor::{
    Backend, Error, ErrorKind, Handoffs, Launched, Machine, MachinePlan, SavedMachine,
};
use virtcontainers_types::{AgentEndpoint, Capabilities, UndoEntry, UndoSink};

use super::Points;
use super::machine::{FaultLaunched, FaultMachine};

/// A backend around another one. Clones share everything.
#[derive(Debug, Clone)]
pub struct FaultBackend {
    inner: Arc<dyn Backend>,
    points: Points,
    guests: Arc<Guests>,
}

/// The guests that live in machines of this process.
pub(super) struct Guests {
    running: Mutex<Vec<(Arc<dyn Machine>, AgentEndpoint)>>,
    ended: Box<dyn Fn(&AgentEndpoint) + Send + Sync>,
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guests")
    }
}

impl Guests {
    pub(super) fn add(&self, machine: Arc<dyn Machine>) {
        let endpoint = machine.agent_endpoint();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.push((machine, endpoint));
    }

    /// Lets the guests of machines that have ended end, too.
    pub(super) fn look(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(machine, endpoint)| {
            let ended = has_ended(machine.as_ref());
            if ended {
                (self.ended)(endpoint);
            }
            !ended
        });
    }
}

fn has_ended(machine: &dyn Machine) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(machine.wait()).poll(&mut context).is_ready()
}

/// The error of a point.
pub(super) fn struck(struck: String) -> Error {
    Error::new(ErrorKind::Internal, struck)
}

impl FaultBackend {
    /// The same backend, with points. `ended` is told where the guest of each machine was that
    /// ended, since a fake guest is no part of a fake machine.
    pub fn new(
        inner: Arc<dyn Backend>,
        points: Points,
        ended: impl Fn(&AgentEndpoint) + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            points,
            guests: Arc::new(Guests {
                running: Mutex::default(),
                ended: Box::new(ended),
            }),
        }
    }
}

#[async_trait]
impl Backend for FaultBackend {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_accelerated(&self) -> bool {
        self.inner.is_accelerated()
    }

    fn check(&self, plan: &MachinePlan) -> Result<(), Error> {
        self.inner.check(plan)
    }

    fn agent_endpoint(&self, plan: &MachinePlan) -> Result<AgentEndpoint, Error> {
        self.inner.agent_endpoint(plan)
    }

    async fn launch(
        &self,
        plan: MachinePlan,
        handoffs: Handoffs,
        undo: &dyn UndoSink,
    ) -> Result<Box<dyn Launched>, Error> {
        let launch = self.inner.launch(plan, handoffs, undo);
        let launched = self.points.around_waiting("launch", launch, struck).await?;
        Ok(Box::new(FaultLaunched {
            inner: launched,
            points: self.points.clone(),
            guests: Arc::clone(&self.guests),
        }))
    }

    async fn adopt(&self, saved: &SavedMachine) -> Result<Arc<dyn Machine>, Error> {
        let adopt = self.inner.adopt(saved);
        let inner = self.points.around_waiting("adopt", adopt, struck).await?;
        Ok(Arc::new(FaultMachine {
            inner,
            points: self.points.clone(),
            guests: Arc::clone(&self.guests),
        }))
    }

    fn undo(&self, entry: &UndoEntry) -> Result<(), Error> {
        let undo = || {
            let undone = self.inner.undo(entry);
            self.guests.look();
            undone
        };
        self.points.around("undo", undo, struck)
    }
}
