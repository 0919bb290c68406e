#![doc = include_str!("../README.md")]

mod daemon;
mod error;
mod mount;
mod sys;
mod tree;
mod undo;
mod view;

pub use daemon::{Cache, Daemon, DaemonConfig, SOCKET};
pub use error::{Error, ErrorKind};
pub use tree::{GUEST_DIRECTORY, SharedVolume, Tree};
pub use undo::{OWNER, Undo, VERSION, is_of_container, undo};
pub use view::{View, Volume};
pub use virtcontainers_process::Exit;
