//! A guest agent without a guest, stricter than the real one.

mod check;
mod direct;
mod fault;
mod listen;
mod model;
mod network;
mod process;
mod program;
mod service;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub use direct::DirectAgent;
pub use fault::Fault;
pub use program::{Output, Program};

use model::Model;

/// Which agent the fake imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// kata-agent 4.1, with what it distorts taken as a violation.
    Kata,
    /// Ours, which takes specifications exactly.
    Exact,
}

/// Prepares a [`FakeAgent`].
#[derive(Debug)]
pub struct Builder {
    flavor: Flavor,
    programs: BTreeMap<String, Program>,
    links: Vec<String>,
}

impl Builder {
    /// A program that containers and execs can run, by its first argument. A process whose first
    /// argument is not known is refused as a missing file.
    pub fn program(mut self, name: &str, program: Program) -> Self {
        self.programs.insert(name.to_owned(), program);
        self
    }

    /// A link of the guest, by its hardware address.
    pub fn link(mut self, hardware_address: &str) -> Self {
        self.links.push(hardware_address.to_owned());
        self
    }

    /// Which agent to imitate; kata-agent when not said.
    pub fn flavor(mut self, flavor: Flavor) -> Self {
        self.flavor = flavor;
        self
    }

    /// The fake, not listening yet.
    pub fn build(self) -> FakeAgent {
        let model = Model::new(self.flavor, self.programs, self.links);
        FakeAgent {
            shared: Arc::new(Shared {
                model: Mutex::new(model),
                oom: Notify::new(),
                over: watch::Sender::new(false),
                connections: Mutex::default(),
            }),
        }
    }
}

/// The fake agent. Clones are the same agent; it ends with the tokio runtime it serves on.
#[derive(Debug, Clone)]
pub struct FakeAgent {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    model: Mutex<Model>,
    /// Something was added to the out-of-memory queue.
    oom: Notify,
    /// The sandbox was destroyed.
    over: watch::Sender<bool>,
    /// Listeners and connections, which end when they are aborted.
    connections: Mutex<JoinSet<()>>,
}

impl Shared {
    fn model(&self) -> MutexGuard<'_, Model> {
        // A test that panicked elsewhere must still be able to look at what happened.
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeAgent {
    /// A fake with no programs and no links.
    pub fn builder() -> Builder {
        Builder {
            flavor: Flavor::Kata,
            programs: BTreeMap::new(),
            links: Vec::new(),
        }
    }

    /// Serves on a unix socket, as an agent started with `agent.server_addr=unix://…` does.
    pub fn serve_unix(&self, path: &Path) -> io::Result<()> {
        listen::serve(&self.shared, path, listen::Handshake::None)
    }

    /// Serves behind a socket that wants `CONNECT 1024` first, as hybrid vsock has it.
    pub fn serve_hybrid(&self, path: &Path) -> io::Result<()> {
        listen::serve(&self.shared, path, listen::Handshake::Connect)
    }

    /// Serves on one stream, such as one half of a pair.
    pub fn serve_stream(&self, stream: tokio::net::UnixStream) {
        listen::serve_one(&self.shared, stream);
    }

    /// Calls the host as our guest agent does when it listens: a line to `<socket>_1023`.
    pub async fn announce(&self, socket: &Path) -> io::Result<()> {
        listen::announce(socket).await
    }

    /// Makes the next calls of a method go wrong; `method` is the name on the wire.
    pub fn on(&self, method: &str, fault: Fault) {
        self.shared.model().faults.insert(method.to_owned(), fault);
    }

    /// Lets a method work again.
    pub fn heal(&self, method: &str) {
        self.shared.model().faults.remove(method);
    }

    /// Says whether the health service serves.
    pub fn set_serving(&self, serving: bool) {
        self.shared.model().serving = serving;
    }

    /// A container runs out of memory.
    pub fn run_out_of_memory(&self, container: &str) {
        self.shared.model().oom.push_back(container.to_owned());
        self.shared.oom.notify_one();
    }

    /// A network device was plugged into the guest's machine.
    pub fn add_link(&self, hardware_address: &str) {
        self.shared.model().network.add_link(hardware_address);
    }

    /// A network device was unplugged; its configuration and routes go with it.
    pub fn remove_link(&self, hardware_address: &str) {
        self.shared.model().network.remove_link(hardware_address);
    }

    /// Ends all listeners and connections, as a machine that is killed does.
    pub fn die(&self) {
        self.shared.connections().abort_all();
    }

    /// The calls so far, by their names on the wire and in order of arrival.
    pub fn calls(&self) -> Vec<String> {
        self.shared.model().calls.clone()
    }

    /// What was done against the rules so far, one sentence each.
    pub fn violations(&self) -> Vec<String> {
        self.shared.model().violations.clone()
    }

    /// The size of a process's terminal in rows and columns, when it was set.
    pub fn window_size(&self, container: &str, exec: &str) -> Option<(u32, u32)> {
        self.shared.model().process(container, exec).ok()?.window
    }

    /// The contents of the files that were copied, by their paths.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.shared.model().files.clone()
    }

    /// Whether a container exists.
    pub fn has_container(&self, id: &str) -> bool {
        self.shared.model().containers.contains_key(id)
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
}
