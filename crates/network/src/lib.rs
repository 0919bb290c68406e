#![doc = include_str!("../README.md")]

mod address;
mod apply;
mod config;
mod create;
mod device;
mod directory;
mod effect;
mod error;
mod link;
mod namespace;
mod netlink;
mod plan;
mod removal;
mod restore;
mod revert;
mod route;
mod scan;
mod sys;
mod sysfs;
mod tc;
#[cfg(test)]
mod testing;
mod thread;
mod undo;
mod vfio;
pub mod view;
mod watch;

pub use apply::{Applied, Nic, apply};
pub use config::{Config, Override};
pub use create::{create_namespace, create_namespace_in};
pub use effect::{Effect, LinkRef, StaticNeighbor};
pub use error::{Error, ErrorKind};
pub use namespace::{Namespace, NamespaceId, open_namespace, reopen_namespace};
pub use plan::{Connection, Endpoint, EndpointKind, Guest, Plan, Skipped, connected_routes, plan};
pub use restore::Former;
pub use scan::scan;
pub use undo::{OWNER, Undo, VERSION, undo, undo_all};
pub use view::View;
pub use virtcontainers_types::{NetworkModel as Model, RateLimit};
pub use watch::{Watch, Woken, scan_until, scan_until_cancelled, watch};

/// Where network namespaces have their names, by the convention of `ip-netns(8)`.
pub const DIRECTORY: &str = "/run/netns";
