#![doc = include_str!("../README.md")]

mod boot;
mod cgroup;
mod clock;
mod diagnosis;
mod end;
mod error;
mod exec;
mod front;
mod hooks;
mod host;
mod intent;
mod kept;
mod last_words;
mod network;
mod operation;
mod options;
mod orphan;
mod paths;
mod plan;
mod recover;
mod runtime;
mod sandbox;
mod settle;
mod stand_in;
mod supervisor;
mod terminal;
mod undo;

/// A guest's agent, however it was reached.
type Agent = std::sync::Arc<dyn virtcontainers_agent::AgentPort>;

pub use boot::Phase;
pub use diagnosis::BootReport;
pub use error::{Error, ErrorKind};
pub use exec::{AttachedExec, AttachedRemote, ExecProcess, ExecRemote, ExecRequest};
pub use operation::Listed;
pub use options::{
    ContainerIo, CreateOptions, IoStreams, Progress, RuntimeOptions, Supervision, SupervisorProgram,
};
pub use recover::{Recovered, Recovery};
pub use runtime::Runtime;
pub use sandbox::Sandbox;
pub use stand_in::StandIn;
pub use supervisor::SupervisorStart;
pub use supervisor::client::OutOfMemoryEvents;
