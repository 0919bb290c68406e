#![doc = include_str!("../README.md")]

pub mod capability;
pub mod config;
pub mod deadline;
pub mod endpoint;
pub mod error;
pub mod id;
pub mod lifecycle;
pub mod precondition;
pub mod process;
pub mod status;
pub mod undo;
pub mod unit;

pub use capability::Capabilities;
pub use config::{
    AgentConfig, AgentStart, Attachment, BootConfig, ContainerConfig, GuestRoot, Lifetime,
    NetworkConfig, RootFs, SandboxConfig, Volume,
};
pub use deadline::Deadlines;
pub use endpoint::AgentEndpoint;
pub use error::{Error, ErrorKind};
pub use id::{ContainerId, ExecId, SandboxId};
pub use lifecycle::{Command, ContainerState, Decision, Fact, Input, SandboxState, decide};
pub use precondition::{LockKind, Operation, Refusal, check};
pub use process::ProcessIdentity;
pub use status::{ContainerStatus, ExitStatus, GuestFacts, SandboxStatus};
pub use undo::{UndoEntry, UndoSink};
pub use unit::{Mebibytes, VcpuCount};
