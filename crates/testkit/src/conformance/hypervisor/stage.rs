//! A machine of one check's own: its directory, its nonce, its ledger.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use virtcontainers_hypervisor::{
    Backend, Error, ErrorKind, Handoffs, Launched, Machine, MachinePlan,
};
use virtcontainers_types::{SandboxId, UndoEntry, UndoSink};

use super::Harness;
use crate::conformance::ensure;

/// Where one check works. What a broken backend leaves is ended when it is dropped.
pub(super) struct Stage<'a> {
    _folder: tempfile::TempDir,
    pub(super) harness: &'a dyn Harness,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) plan: MachinePlan,
    pub(super) nonce: String,
    pub(super) ledger: Ledger,
}

/// A ledger in memory.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Vec<UndoEntry>>);

impl Ledger {
    pub(super) fn entries(&self) -> Vec<UndoEntry> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> std::io::Result<()> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry);
        Ok(())
    }
}

impl<'a> Stage<'a> {
    pub(super) fn new(harness: &'a dyn Harness) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let failed = |error: std::io::Error| format!("the stage cannot be set: {error}");
        let folder = tempfile::tempdir().map_err(failed)?;
        // Longer than the path of a socket may be.
        let directory = folder.path().join("d".repeat(120));
        std::fs::create_dir(&directory).map_err(failed)?;
        let name = format!("conformance-{}-{number}", std::process::id());
        let id = SandboxId::new(&name).map_err(|error| error.to_string())?;
        Ok(Self {
            _folder: folder,
            harness,
            backend: harness.backend(),
            plan: harness.plan(id, directory),
            nonce: name,
            ledger: Ledger::default(),
        })
    }

    pub(super) fn handoffs(&self) -> Handoffs {
        Handoffs {
            nonce: self.nonce.clone(),
            ..Handoffs::default()
        }
    }

    pub(super) async fn try_launch(&self, sink: &dyn UndoSink) -> Result<Box<dyn Launched>, Error> {
        let launch = self
            .backend
            .launch(self.plan.clone(), self.handoffs(), sink);
        launch.await
    }

    pub(super) async fn launch(&self) -> Result<Box<dyn Launched>, String> {
        let launched = self.try_launch(&self.ledger).await;
        launched.map_err(|error| format!("the launch failed: {}", text(&error)))
    }

    pub(super) async fn start(&self) -> Result<Arc<dyn Machine>, String> {
        let started = self.launch().await?.start().await;
        started.map_err(|error| format!("the start failed: {}", text(&error)))
    }

    /// A machine that has started and ended by accident.
    pub(super) async fn start_and_crash(&self) -> Result<Arc<dyn Machine>, String> {
        let machine = self.start().await?;
        self.crash()?;
        machine.wait().await;
        Ok(machine)
    }

    pub(super) fn crash(&self) -> Result<(), String> {
        let crashed = self.harness.crash(&self.plan, &self.nonce);
        crashed.map_err(|error| format!("the machine cannot be made to crash: {error}"))
    }

    pub(super) fn left(&self) -> Result<Vec<String>, String> {
        self.harness.left(&self.plan, &self.nonce)
    }

    pub(super) fn nothing_is_left(&self) -> Result<(), String> {
        let left = self.left()?;
        ensure!(left.is_empty(), "left behind: {}", left.join(", "));
        Ok(())
    }

    pub(super) async fn power_is(&self, wanted: crate::hypervisor::Power) -> Result<(), String> {
        let found = self.harness.power(&self.plan).await?;
        ensure!(found == wanted, "the machine is {found}, not {wanted}");
        Ok(())
    }

    /// Undoes these entries from the last to the first, as another process does.
    pub(super) fn undo(&self, entries: &[UndoEntry]) -> Result<(), String> {
        let other = self.harness.backend();
        for entry in entries.iter().rev() {
            other
                .undo(entry)
                .map_err(|error| format!("cannot undo {entry:?}: {}", text(&error)))?;
        }
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // Only a backend that breaks a promise has left something.
        drop(self.undo(&self.ledger.entries()));
        if self.harness.has_processes() {
            drop(self.harness.crash(&self.plan, &self.nonce));
        }
    }
}

/// An error with its causes.
pub(super) fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Fails unless the result is an error of this kind.
pub(super) fn refused<T>(
    what: &str,
    result: Result<T, Error>,
    wanted: ErrorKind,
) -> Result<(), String> {
    match result {
        Ok(_) => Err(format!("{what} succeeded")),
        Err(error) if error.kind() == wanted => Ok(()),
        Err(error) => {
            let kind = error.kind();
            let text = text(&error);
            Err(format!("{what} is {kind:?}, not {wanted:?}: {text}"))
        }
    }
}

/// Fails unless the result is a success.
pub(super) fn done<T>(what: &str, result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| format!("{what} failed: {}", text(&error)))
}
