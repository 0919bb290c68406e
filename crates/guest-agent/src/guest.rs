//! Requests about the guest as a whole, none of which concerns a container.

mod clock;
mod copy;
mod cpu_memory;
mod details;
mod diagnostic;
mod metrics;
mod volume;

pub(crate) use clock::{reseed, set_time};
pub(crate) use copy::copy_file;
pub(crate) use cpu_memory::online;
pub(crate) use details::details;
pub(crate) use diagnostic::{diagnostic_data, touch_share_mounts};
pub(crate) use metrics::metrics;
pub(crate) use volume::volume_stats;
