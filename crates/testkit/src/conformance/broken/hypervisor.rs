//! Hypervisor backends that each break one promise.

mod backend;
mod launched;
mod machine;
mod plug;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use virtcontainers_hypervisor::{Backend, MachinePlan};
use virtcontainers_types::{SandboxId, UndoEntry};

use crate::conformance::hypervisor::{FakeHarness, Harness, ProcessHarness};
use crate::hypervisor::{Power, ProcessBackend};

use backend::BrokenBackend;

/// A backend that breaks one promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// The promise.
    pub breaks: &'static str,
    /// What it is like otherwise.
    pub like: Like,
}

/// A sound fake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Like {
    /// Machines that are values, with all abilities.
    Able,
    /// Machines that are values, without abilities.
    Unable,
    /// Machines that are processes.
    Processes,
}

const fn able(breaks: &'static str) -> Broken {
    let like = Like::Able;
    Broken { breaks, like }
}

const fn unable(breaks: &'static str) -> Broken {
    let like = Like::Unable;
    Broken { breaks, like }
}

const fn processes(breaks: &'static str) -> Broken {
    let like = Like::Processes;
    Broken { breaks, like }
}

/// One backend for each promise.
pub const ALL: &[Broken] = &[
    able("the-name-is-stable"),
    able("a-check-has-no-effect"),
    able("foreseeable-failures-are-refused"),
    able("a-refused-launch-has-no-effect"),
    unable("sharing-needs-the-ability"),
    able("network-devices-are-counted"),
    able("network-devices-are-handed-over"),
    able("the-endpoint-is-known-before"),
    able("a-launch-holds-the-cpus"),
    able("a-dropped-launch-leaves-nothing"),
    able("an-unstarted-machine-ends-when-dropped"),
    able("an-unstarted-machine-tells-its-end"),
    able("a-start-lets-the-cpus-run"),
    able("a-start-of-what-ended-is-gone"),
    able("a-dropped-start-leaves-nothing"),
    processes("processes-carry-the-nonce"),
    processes("processes-are-in-the-namespace"),
    processes("processes-die-with-their-launcher"),
    able("a-pause-halts-the-cpus"),
    able("a-resume-lets-the-cpus-go-on"),
    able("a-second-pause-is-refused"),
    able("a-resume-of-what-runs-is-refused"),
    able("a-pause-of-what-ended-is-gone"),
    unable("pausing-needs-the-ability"),
    able("a-power-down-asks-the-guest"),
    able("a-power-down-of-what-ended-is-gone"),
    able("the-launcher-has-events"),
    able("events-end-with-the-machine"),
    processes("the-monitor-is-listed-first"),
    able("an-added-device-is-there"),
    able("a-device-is-added-once"),
    able("added-devices-are-counted"),
    able("added-devices-are-handed-over"),
    able("a-removed-device-is-gone"),
    able("a-device-of-the-start-is-removed"),
    able("a-removal-of-nothing-succeeds"),
    able("a-dropped-addition-is-removed"),
    able("an-adopter-adds-and-removes"),
    able("devices-of-what-ended-are-gone"),
    unable("hotplug-needs-the-ability"),
    able("a-shutdown-leaves-nothing"),
    able("a-late-shutdown-kills"),
    able("a-shutdown-of-what-ended-succeeds"),
    able("a-dropped-shutdown-can-be-repeated"),
    able("a-kill-ends-the-machine"),
    able("a-kill-of-what-ended-succeeds"),
    able("the-end-is-told"),
    able("all-are-told-the-same-end"),
    able("entries-bear-the-name"),
    able("effects-are-entered-first"),
    able("no-effect-without-its-entry"),
    able("an-undo-leaves-nothing"),
    able("an-undo-is-safe-twice"),
    able("an-undo-of-nothing-is-safe"),
    able("what-is-saved-is-adopted"),
    able("an-adopter-ends-the-machine"),
    able("adopting-what-ended-is-gone"),
    able("a-dropped-adoption-changes-nothing"),
    able("events-are-the-launchers"),
    unable("adopting-needs-the-ability"),
];

/// The harness of a broken backend.
pub struct BrokenHarness {
    breaks: &'static str,
    inner: Box<dyn Harness>,
    undone: Undone,
}

/// The entries that were undone so far, by whatever instance.
type Undone = Arc<Mutex<Vec<UndoEntry>>>;

impl BrokenHarness {
    /// For this backend; the program is that of machines that are processes.
    pub fn new(broken: Broken, program: &Path) -> Self {
        let inner: Box<dyn Harness> = match broken.like {
            Like::Able => Box::new(FakeHarness::new(true)),
            Like::Unable => Box::new(FakeHarness::new(false)),
            Like::Processes => Box::new(ProcessHarness::new(ProcessBackend::new(program))),
        };
        Self {
            breaks: broken.breaks,
            inner,
            undone: Undone::default(),
        }
    }
}

impl fmt::Debug for BrokenHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokenHarness({})", self.breaks)
    }
}

#[async_trait]
impl Harness for BrokenHarness {
    fn name(&self) -> String {
        format!("{}, but not {}", self.inner.name(), self.breaks)
    }

    fn backend(&self) -> Arc<dyn Backend> {
        let undone = Arc::clone(&self.undone);
        Arc::new(BrokenBackend::new(
            self.inner.backend(),
            self.breaks,
            undone,
        ))
    }

    fn plan(&self, id: SandboxId, directory: PathBuf) -> MachinePlan {
        self.inner.plan(id, directory)
    }

    async fn power(&self, plan: &MachinePlan) -> Result<Power, String> {
        self.inner.power(plan).await
    }

    fn refused(&self, good: &MachinePlan) -> Vec<(&'static str, MachinePlan)> {
        self.inner.refused(good)
    }

    async fn network_devices(&self, plan: &MachinePlan) -> Result<Vec<String>, String> {
        self.inner.network_devices(plan).await
    }

    fn has_processes(&self) -> bool {
        self.inner.has_processes()
    }

    fn has_events(&self) -> bool {
        self.inner.has_events()
    }

    /// What is broken may never end; a sound check takes a fraction of a second.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn crash(&self, plan: &MachinePlan, nonce: &str) -> Result<(), String> {
        self.inner.crash(plan, nonce)
    }

    fn left(&self, plan: &MachinePlan, nonce: &str) -> Result<Vec<String>, String> {
        self.inner.left(plan, nonce)
    }
}
