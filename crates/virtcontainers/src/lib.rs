#![doc = include_str!("../README.md")]

pub mod check;
pub mod config;
mod error;
mod registry;
mod supervisor;

pub use config::{Config, GuestAssets};
pub use error::Error;
pub use registry::{runtime, sandbox_config};
pub use supervisor::run_if_supervisor;
pub use virtcontainers_oci as oci;
pub use virtcontainers_runtime::{
    BootReport, ContainerIo, CreateOptions, Error as RuntimeError, ErrorKind, ExecProcess,
    ExecRemote, ExecRequest, Listed, Phase, Progress, Runtime, RuntimeOptions, Sandbox,
    Supervision, SupervisorProgram, SupervisorStart,
};
pub use virtcontainers_types as types;
