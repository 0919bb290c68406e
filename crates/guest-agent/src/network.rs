//! The guest's network, set and read by netlink as the host asks.
//!
//! What a request cannot mean is refused before anything changes; what it means is made so, not
//! added to what was there. A change that fails half-way is taken back.

mod address;
mod counters;
mod interface;
mod kept;
mod neighbour;
mod netlink;
mod parse;
mod route;

pub(crate) use counters::counters;
pub(crate) use interface::{list_interfaces, update_interface};
pub(crate) use neighbour::add_neighbours;
pub(crate) use route::{list_routes, update_routes};
