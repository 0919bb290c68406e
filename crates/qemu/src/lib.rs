#![doc = include_str!("../README.md")]

mod args;
mod backend;
mod check;
mod choice;
mod config;
mod directory;
mod error;
mod event;
mod host;
mod kernel_line;
mod launch;
mod machine;
mod names;
mod nic;
mod plug;
mod program;
mod qmp;
mod readiness;
mod saved;
mod sys;
mod undo;
mod vsock;

pub use backend::QemuBackend;
pub use config::{AcceleratorChoice, MachineType, QemuConfig, VsockChoice};
pub use host::{HostSupport, Support, probe};
