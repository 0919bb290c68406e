//! The state of the agent: what all requests share.

use std::sync::Arc;

use crate::config::Config;
use crate::container::Engine;
use crate::containers::Containers;
use crate::modules::Modules;
use crate::oom::OomEvents;
use crate::reaper::Reaper;
use crate::sandbox::Sandbox;
use crate::storage::Storages;

/// One agent, one sandbox. Its parts lock themselves; there is no lock around the whole.
pub(crate) struct Agent {
    /// What it was told at its start.
    pub(crate) config: Config,
    /// Makes and ends containers.
    pub(crate) engine: Engine,
    /// Knows how processes ended.
    pub(crate) reaper: Reaper,
    /// The containers by id.
    pub(crate) containers: Containers,
    /// Mounts by mount point.
    pub(crate) storages: Storages,
    /// The sandbox, once it was created.
    pub(crate) sandbox: Sandbox,
    /// Out-of-memory events on their way to the host.
    pub(crate) oom: Arc<OomEvents>,
    /// Kernel modules of the initrd.
    pub(crate) modules: Modules,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Agent")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Agent {
    /// An agent without a sandbox.
    pub(crate) fn new(config: Config, engine: Engine, reaper: Reaper, modules: Modules) -> Self {
        Self {
            config,
            engine,
            reaper,
            containers: Containers::default(),
            storages: Storages::default(),
            sandbox: Sandbox::default(),
            oom: Arc::default(),
            modules,
        }
    }
}
