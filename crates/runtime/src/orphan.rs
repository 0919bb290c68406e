//! Orphans: sandboxes that should have a supervisor and have none any more.

use std::sync::OnceLock;

use virtcontainers_process::Identity;
use virtcontainers_store::{Record, Summary};
use virtcontainers_types::{ProcessIdentity, SandboxId};

use crate::runtime::Runtime;
use crate::supervisor::tasks;

impl Runtime {
    /// Whether nobody looks after a sandbox that should have somebody.
    pub(crate) fn is_orphan(&self, record: &Record) -> bool {
        let attended = record.is_of_this_boot() && self.is_attended(record.id(), record.supervisor);
        record.state.is_live() && !attended
    }

    /// The same of a summary.
    pub(crate) fn looks_orphaned(&self, summary: &Summary) -> bool {
        let attended =
            summary.is_of_this_boot() && self.is_attended(summary.id(), summary.supervisor);
        summary.state.is_live() && !attended
    }

    fn is_attended(&self, id: &SandboxId, supervisor: Option<ProcessIdentity>) -> bool {
        let Some(ProcessIdentity { pid, start_time }) = supervisor else {
            return false;
        };
        let identity = Identity { pid, start_time };
        match ourselves() == Some(identity) {
            // We live, which says nothing of a task of ours.
            true => tasks::is_attended(&self.host.layout.machine(id)),
            false => identity.is_alive(),
        }
    }
}

/// Our own process. A child that was forked without an exec is another, hence the pid is compared.
pub(crate) fn ourselves() -> Option<Identity> {
    static OURSELVES: OnceLock<Option<Identity>> = OnceLock::new();
    let ourselves = *OURSELVES.get_or_init(|| Identity::current().ok());
    ourselves.filter(|ourselves| ourselves.pid == std::process::id())
}
