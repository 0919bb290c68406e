#![doc = include_str!("../README.md")]

mod args;
mod choice;
mod config;
mod host;
mod kernel_line;
mod names;
mod qmp;
mod sys;

pub use config::{AcceleratorChoice, MachineType, QemuConfig, VsockChoice};
pub use host::{HostSupport, Support, probe};
