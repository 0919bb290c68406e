//! The identity of a host process: its pid alone is reused, its pid and start time are not.

use serde::{Deserialize, Serialize};

/// A process of this boot of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id in the host's initial pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)).
    pub start_time: u64,
}
