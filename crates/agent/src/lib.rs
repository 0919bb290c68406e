#![doc = include_str!("../README.md")]

mod announce;
mod client;
mod connect;
mod connector;
pub mod copy;
mod details;
pub mod endpoint;
mod error;
mod fault;
mod guard;
pub mod guest_path;
mod known;
mod listing;
pub mod network;
mod port;
mod process;
mod socket_path;
pub mod spec;
pub mod stats;
pub mod streams;
mod words;

pub use announce::AnnounceListener;
pub use client::{Agent, Timeouts};
pub use connect::{connect, connect_with_retry};
pub use connector::{Connector, Ttrpc};
pub use details::{GuestDetails, Version};
pub use error::{Error, ErrorKind, Result};
pub use listing::ProcessInfo;
pub use port::AgentPort;
pub use process::{OutputStream, ProcessRef};
pub use virtcontainers_types::AgentEndpoint;
