#![doc = include_str!("../README.md")]

mod bus;
mod cgroup;
mod error;
mod event;
mod host;
mod mountinfo;
mod scope;
mod tree;
mod undo;
mod vacate;

pub use cgroup::Cgroup;
pub use error::{Error, ErrorKind};
pub use host::{Host, Mode, Systemd};
pub use undo::{OWNER, Undo, VERSION, is_of_container, undo};
