//! What a runtime works with: its places, its backend, its options.

use std::sync::Arc;

use virtcontainers_agent::Connector;
use virtcontainers_hypervisor::Backend;
use virtcontainers_share::DaemonConfig;
use virtcontainers_store::Store;

use crate::options::Supervision;
use crate::paths::Layout;

/// Shared by all operations of one runtime.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) layout: Layout,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) agents: Arc<dyn Connector>,
    pub(crate) daemon: DaemonConfig,
    pub(crate) deadline_factor: f64,
    pub(crate) supervision: Supervision,
}
