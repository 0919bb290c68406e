#![doc = include_str!("../README.md")]

mod annotations;
mod bundle;
pub mod check;
pub mod config;
mod console;
pub mod environment;
mod error;
pub mod inspect;
pub mod logs;
mod network_plan;
pub mod overhead;
mod registry;
mod supervisor;
mod sys;
#[cfg(feature = "otel")]
pub mod telemetry;
mod verified;
mod version;

pub use bundle::{container_of_bundle, sandbox_of_bundle};
pub use config::{Config, GuestAssets};
pub use console::DebugConsole;
pub use error::Error;
pub use network_plan::plan_network;
pub use registry::{runtime, sandbox_config};
pub use supervisor::run_if_supervisor;
pub use virtcontainers_network as network;
pub use virtcontainers_oci as oci;
pub use virtcontainers_runtime::{
    AttachedExec, AttachedRemote, BootReport, ContainerIo, CreateOptions, Error as RuntimeError,
    ErrorKind, ExecProcess, ExecRemote, ExecRequest, IoStreams, Listed, OutOfMemoryEvents, Phase,
    Progress, Recovered, Recovery, Runtime, RuntimeOptions, Sandbox, StandIn, Supervision,
    SupervisorProgram, SupervisorStart,
};
pub use virtcontainers_types as types;
