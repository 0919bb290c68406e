//! The network of a sandbox: what is connected, how that is decided, and how it is kept.

mod attached;
mod devices;
mod guest;
mod late;
#[cfg(test)]
mod tests;
mod wanted;
pub(crate) mod wire;

pub(crate) use attached::{Attached, AttachedDevice};
pub(crate) use devices::devices;
pub(crate) use guest::{set_routes, set_up};
pub(crate) use late::await_interface;
pub(crate) use wanted::{added, decide, fallback, link_of};
