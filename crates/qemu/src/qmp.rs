//! The machine protocol of QEMU (docs/interop/qmp-spec.rst): one owner per stream, replies matched
//! by id, events apart.
//!
//! Commands, replies and events are the types of the `qapi` crate, generated from QEMU's schema;
//! framing and ownership are ours.

mod frame;
mod message;
mod monitor;
mod outbox;
mod owner;
#[cfg(test)]
mod tests;

pub(crate) use monitor::{Failure, Monitor};
