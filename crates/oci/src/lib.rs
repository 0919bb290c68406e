#![doc = include_str!("../README.md")]

mod bundle;
mod command;
mod error;
mod guest;
mod state;
mod user;

pub use bundle::Bundle;
pub use command::{CommandLine, container_spec, exec_process};
pub use error::{Error, ErrorKind};
pub use guest::{HostBind, guest_spec, host_binds};
pub use state::State;
pub use user::resolve_user;
