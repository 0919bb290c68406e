#![doc = include_str!("../README.md")]

mod backend;
mod error;
mod machine;
mod network;
mod plan;

pub use backend::{Backend, Launched};
pub use error::{Error, ErrorKind};
pub use machine::{Machine, MachineEvent, MachineEvents, MachineExit, SavedMachine};
pub use network::{Carrier, NetworkDeviceHandoff, NetworkDevicePlan};
pub use plan::{Handoffs, MachinePlan, SharePlan};
