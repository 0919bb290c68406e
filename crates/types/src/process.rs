//! Processes: the identity of one on the host, whose pid alone is reused, but not its pid and start
//! time; and what a list of processes says of one in a guest.

use serde::{Deserialize, Serialize};

/// A process of this boot of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id in the host's initial pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)).
    pub start_time: u64,
}

/// One process of a container, as seen from within the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEntry {
    /// Its process id in the guest.
    pub pid: u32,
    /// Its parent's process id in the guest.
    pub ppid: u32,
    /// The user it runs as.
    pub uid: u32,
    /// Processor time used so far, in milliseconds.
    pub cpu_ms: u64,
    /// Memory that is resident, in bytes.
    pub rss: u64,
    /// The program and its arguments; the name alone, in brackets, where there are none.
    pub command: String,
}
