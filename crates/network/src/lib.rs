#![doc = include_str!("../README.md")]

mod apply;
mod directory;
mod error;
mod namespace;
mod sys;
mod undo;

pub use apply::{create_namespace, create_namespace_in};
pub use error::{Error, ErrorKind};
pub use namespace::{Namespace, open_namespace};
pub use undo::{OWNER, Undo, VERSION, undo};

/// Where network namespaces have their names, by the convention of `ip-netns(8)`.
pub const DIRECTORY: &str = "/run/netns";
