//! The life of a container, request by request.

mod bundle;
mod change;
mod create;
mod exec;
mod remove;

pub(crate) use change::{pause, resume, start, stats, update};
pub(crate) use create::create;
pub(crate) use exec::exec;
pub(crate) use remove::{remove, remove_now};
