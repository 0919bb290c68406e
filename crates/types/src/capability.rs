//! What a hypervisor backend can do, declared as data and checked in one place above it.

use serde::{Deserialize, Serialize};

/// The abilities of a backend. A request beyond them is refused before any side effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Directories of the host can be shared with the guest.
    pub filesystem_sharing: bool,
    /// The machine can be paused and resumed.
    pub pause: bool,
    /// A running machine can be taken over by another process.
    pub adopt: bool,
    /// Block devices can be attached while the machine runs.
    pub block_hotplug: bool,
    /// How many network devices a machine can have at a time.
    #[serde(default)]
    pub network_devices: u8,
    /// Network devices can be attached and detached while the machine runs.
    pub network_hotplug: bool,
    /// A sandbox may name another program for its machine, and further arguments for it.
    pub own_program: bool,
}
