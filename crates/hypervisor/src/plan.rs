//! What a machine is made of: decided before anything happens, handed over whole.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{BootConfig, Deadlines, Mebibytes, SandboxId, VcpuCount};

use crate::{NetworkDeviceHandoff, NetworkDevicePlan};

/// A virtual machine to be. Complete: a backend asks nobody for more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// The sandbox that the machine is for.
    pub id: SandboxId,
    /// A directory of the machine's own, absolute and existing, mode 0700: sockets go here, by
    /// relative names, so that its length is no limit.
    pub directory: PathBuf,
    /// Memory.
    pub memory: Mebibytes,
    /// CPUs.
    pub vcpus: VcpuCount,
    /// Kernel, initial RAM disk, kernel parameters.
    pub boot: BootConfig,
    /// The shared directory, when there is one.
    pub share: Option<SharePlan>,
    /// Network devices, in the order in which the guest finds them.
    #[serde(default)]
    pub network_devices: Vec<NetworkDevicePlan>,
    /// Whether to tell the guest's agent to call the host when it is up.
    pub agent_announces: bool,
    /// How long each phase may take.
    pub deadlines: Deadlines,
}

/// A virtio-fs device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharePlan {
    /// The mount tag by which the guest finds it.
    pub tag: String,
    /// The vhost-user socket of the file system daemon, relative to the machine's directory. It
    /// listens before the machine is launched.
    pub socket: PathBuf,
}

/// What the host prepared for the machine, handed over with the plan.
#[derive(Debug, Default)]
pub struct Handoffs {
    /// The network namespace in which the machine runs.
    pub network_namespace: Option<OwnedFd>,
    /// What carries the frames of the plan's network devices, in its order.
    pub network_devices: Vec<NetworkDeviceHandoff>,
    /// Where the guest's console output goes; it is discarded when absent.
    pub console: Option<OwnedFd>,
    /// The value of the `VC_NONCE` variable that every process of the sandbox carries, so that it
    /// is found again when its pid was never recorded.
    pub nonce: String,
    /// Processes of the machine must die with the thread that launches it (`PR_SET_PDEATHSIG`).
    /// The caller promises that this thread lives as long as the machine.
    pub die_with_launcher: bool,
}
