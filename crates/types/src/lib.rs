#![doc = include_str!("../README.md")]

pub mod address;
pub mod capability;
pub mod cgroup;
pub mod cmd;
pub mod config;
pub mod deadline;
pub mod device;
pub mod drive;
pub mod endpoint;
pub mod error;
pub mod id;
pub mod lifecycle;
pub mod linux_capabilities;
pub mod list;
pub mod network;
pub mod pci;
pub mod precondition;
pub mod process;
pub mod shared_volume;
pub mod socket;
pub mod stats;
pub mod status;
mod text;
pub mod undo;
pub mod unit;

pub use address::{IpAddress, IpFamily, MacAddress};
pub use capability::Capabilities;
pub use cgroup::CgroupPath;
pub use cmd::{Cmd, EnvVar};
pub use config::{
    AgentConfig, AgentStart, Attachment, BootConfig, ContainerConfig, GuestRoot,
    HypervisorOverride, Lifetime, NetworkConfig, RootFs, SandboxConfig, Volume,
};
pub use deadline::Deadlines;
pub use device::{DeviceInfo, DeviceKind};
pub use drive::{Drive, DriveFormat};
pub use endpoint::AgentEndpoint;
pub use error::{Error, ErrorKind};
pub use id::{ContainerId, ExecId, SandboxId};
pub use lifecycle::{Command, ContainerState, Decision, Fact, Input, SandboxState, decide};
pub use linux_capabilities::{CapabilityName, LinuxCapabilities};
pub use list::{Sockets, SpaceList, Volumes};
pub use network::{
    ConnectedInterface, Interface, Neighbor, NetworkModel, NetworkStatus, RateLimit, Route,
    SkippedInterface,
};
pub use oci_spec::runtime::LinuxResources as Resources;
pub use pci::PciPath;
pub use precondition::{LockKind, Operation, Refusal, check};
pub use process::{ProcessEntry, ProcessIdentity};
pub use shared_volume::SharedVolume;
pub use socket::Socket;
pub use stats::{
    BlkioEntry, BlkioStats, CgroupStats, ContainerStats, CpuStats, HugetlbStats, InterfaceStats,
    MemoryCounter, MemoryStats, PidsStats, SandboxStats, ThrottlingStats,
};
pub use status::{ContainerStatus, ExitStatus, GuestFacts, SandboxStatus};
pub use undo::{UndoEntry, UndoSink};
pub use unit::{Mebibytes, VcpuCount};
