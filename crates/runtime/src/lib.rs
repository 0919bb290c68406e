#![doc = include_str!("../README.md")]

mod boot;
mod clock;
mod diagnosis;
mod error;
mod exec;
mod host;
mod options;
mod paths;
mod plan;
mod recover;
mod runtime;
mod sandbox;
mod supervisor;
mod undo;

pub use boot::Phase;
pub use diagnosis::BootReport;
pub use error::{Error, ErrorKind};
pub use exec::{ExecProcess, ExecRemote, ExecRequest};
pub use options::{
    ContainerIo, CreateOptions, Progress, RuntimeOptions, Supervision, SupervisorProgram,
};
pub use runtime::{Listed, Runtime};
pub use sandbox::Sandbox;
pub use supervisor::SupervisorStart;
