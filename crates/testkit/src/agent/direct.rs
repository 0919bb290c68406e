//! Agents without sockets, messages or guests: the port itself, over a model in this process.
//!
//! For what needs many guests or many calls, such as benchmarks and simulations of the layers
//! above; [`FakeAgent`](super::FakeAgent) is for what crosses the wire.

mod calls;
mod guest;
mod process;
mod stats;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use virtcontainers_agent::{
    AgentEndpoint, AgentPort, Connector, Error, ErrorKind, Result, Timeouts,
};

use calls::Connection;
use guest::Guest;

/// The agents of all guests in this process, each found by its endpoint.
///
/// A guest begins with [`connect_with_retry`](Connector::connect_with_retry), which means one that
/// boots: a guest that has been used before at the same endpoint is over then. It ends with
/// `destroy_sandbox` or [`end`](Self::end). Between, it has the order of calls of our own agent;
/// what is against it is refused, and recorded as a violation.
///
/// A process runs until a signal or [`exit`](Self::exit) ends it, unless its program was given by
/// [`program`](Self::program). Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct DirectAgent {
    shared: Arc<Shared>,
}

/// A program that ends at once.
#[derive(Debug, Clone)]
struct Short {
    output: Vec<u8>,
    status: i32,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Fail(ErrorKind),
    Hang,
}

#[derive(Debug, Default)]
struct Shared {
    guests: Mutex<HashMap<String, Arc<Guest>>>,
    programs: Mutex<BTreeMap<String, Short>>,
    faults: Mutex<BTreeMap<String, Fault>>,
    /// There are faults; most runs have none, and look no further.
    faulty: AtomicBool,
    violations: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked elsewhere must still be able to look at what happened.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(endpoint: &AgentEndpoint) -> String {
    match endpoint {
        AgentEndpoint::Vsock { cid } => format!("vsock:{cid}"),
        AgentEndpoint::HybridVsock { path } | AgentEndpoint::Unix { path } => {
            path.display().to_string()
        }
    }
}

impl Shared {
    fn violation(&self, what: impl Into<String>) -> String {
        let what = what.into();
        lock(&self.violations).push(what.clone());
        format!("strict agent: {what}")
    }

    fn fault(&self, method: &str) -> Option<Fault> {
        if !self.faulty.load(Ordering::Relaxed) {
            return None;
        }
        lock(&self.faults).get(method).copied()
    }

    fn program(&self, args: &[String]) -> Option<Short> {
        lock(&self.programs).get(args.first()?).cloned()
    }
}

impl DirectAgent {
    /// No guests yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, processes whose first argument is `name` write `output` and end with `status`
    /// as soon as they are started.
    pub fn program(&self, name: &str, output: impl AsRef<[u8]>, status: i32) {
        let output = output.as_ref().to_vec();
        lock(&self.shared.programs).insert(name.to_owned(), Short { output, status });
    }

    /// Makes calls of a method fail, in all guests. Methods have the names of the port's;
    /// `connect` and `connect_with_retry` count.
    pub fn fail(&self, method: &str, kind: ErrorKind) {
        self.set_fault(method, Fault::Fail(kind));
    }

    /// Lets calls of a method wait for ever, in all guests.
    pub fn hang(&self, method: &str) {
        self.set_fault(method, Fault::Hang);
    }

    /// Lets a method work again. Calls that hang already stay so.
    pub fn heal(&self, method: &str) {
        lock(&self.shared.faults).remove(method);
    }

    fn set_fault(&self, method: &str, fault: Fault) {
        lock(&self.shared.faults).insert(method.to_owned(), fault);
        self.shared.faulty.store(true, Ordering::Relaxed);
    }

    /// Ends a guest, as the death of its machine does: calls under way fail with `Gone`.
    pub fn end(&self, endpoint: &AgentEndpoint) {
        if let Some(guest) = lock(&self.shared.guests).remove(&key(endpoint)) {
            guest.end();
        }
    }

    /// Ends a process by itself; `exec` is the container's id for its init. Says whether it ran.
    pub fn exit(&self, endpoint: &AgentEndpoint, container: &str, exec: &str, status: i32) -> bool {
        self.guest(endpoint)
            .is_some_and(|guest| guest.state().exit(container, exec, status))
    }

    /// A container runs out of memory.
    pub fn run_out_of_memory(&self, endpoint: &AgentEndpoint, container: &str) {
        if let Some(guest) = self.guest(endpoint) {
            guest.run_out_of_memory(container);
        }
    }

    /// The containers of a guest; none when there is no such guest.
    pub fn containers(&self, endpoint: &AgentEndpoint) -> Vec<String> {
        let guest = self.guest(endpoint);
        guest.map_or_else(Vec::new, |guest| guest.state().container_ids())
    }

    /// The containers of a guest whose first process has not ended, started or not.
    pub fn living_containers(&self, endpoint: &AgentEndpoint) -> Vec<String> {
        let guest = self.guest(endpoint);
        guest.map_or_else(Vec::new, |guest| guest.state().living_container_ids())
    }

    /// How many guests live.
    pub fn guests(&self) -> usize {
        lock(&self.shared.guests)
            .values()
            .filter(|guest| !guest.has_ended())
            .count()
    }

    /// What was done against the rules so far, one sentence each.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.violations).clone()
    }

    /// Fails if anything was done against the rules.
    ///
    /// # Panics
    ///
    /// With the list of violations, if there are any.
    #[track_caller]
    pub fn assert_clean(&self) {
        let violations = self.violations();
        assert!(
            violations.is_empty(),
            "the agent's rules were broken:\n  {}",
            violations.join("\n  ")
        );
    }

    fn guest(&self, endpoint: &AgentEndpoint) -> Option<Arc<Guest>> {
        let guests = lock(&self.shared.guests);
        let guest = guests.get(&key(endpoint))?;
        (!guest.has_ended()).then(|| Arc::clone(guest))
    }

    fn connection(&self, guest: Arc<Guest>) -> Arc<dyn AgentPort> {
        Arc::new(Connection::new(Arc::clone(&self.shared), guest))
    }

    async fn enter(&self, method: &'static str, limit: Duration) -> Result<()> {
        match self.shared.fault(method) {
            None => Ok(()),
            Some(Fault::Fail(kind)) => Err(Error::of_port(method, kind, "failed on demand")),
            Some(Fault::Hang) => {
                tokio::time::sleep(limit).await;
                let reason = format!("no answer within {limit:?}");
                Err(Error::of_port(method, ErrorKind::Timeout, reason))
            }
        }
    }
}

#[async_trait]
impl Connector for DirectAgent {
    async fn connect(
        &self,
        endpoint: &AgentEndpoint,
        _: Timeouts,
        limit: Duration,
    ) -> Result<Arc<dyn AgentPort>> {
        self.enter("connect", limit).await?;
        let guest = self.guest(endpoint).ok_or_else(|| {
            let reason = format!("no guest lives at {}", key(endpoint));
            Error::of_port("connect", ErrorKind::Gone, reason)
        })?;
        Ok(self.connection(guest))
    }

    async fn connect_with_retry(
        &self,
        endpoint: &AgentEndpoint,
        _: Timeouts,
        limit: Duration,
    ) -> Result<Arc<dyn AgentPort>> {
        self.enter("connect_with_retry", limit).await?;
        let guest = {
            let mut guests = lock(&self.shared.guests);
            let slot = guests.entry(key(endpoint)).or_default();
            if slot.has_ended() || slot.state().was_used() {
                slot.end();
                *slot = Arc::default();
            }
            Arc::clone(slot)
        };
        Ok(self.connection(guest))
    }
}
