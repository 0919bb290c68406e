#![doc = include_str!("../README.md")]

mod annotations;
pub mod check;
pub mod config;
mod error;
mod registry;
mod supervisor;
#[cfg(feature = "otel")]
pub mod telemetry;
mod verified;

pub use config::{Config, GuestAssets};
pub use error::Error;
pub use registry::{runtime, sandbox_config};
pub use supervisor::run_if_supervisor;
pub use virtcontainers_oci as oci;
pub use virtcontainers_runtime::{
    BootReport, ContainerIo, CreateOptions, Error as RuntimeError, ErrorKind, ExecProcess,
    ExecRemote, ExecRequest, IoStreams, Listed, OutOfMemoryEvents, Phase, Progress, Recovered,
    Recovery, Runtime, RuntimeOptions, Sandbox, Supervision, SupervisorProgram, SupervisorStart,
};
pub use virtcontainers_types as types;
