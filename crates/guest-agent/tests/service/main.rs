//! The agent on a host, as any client of its protocol sees it: started as a program, spoken to over
//! its ttrpc socket, with real containers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

mod dropped;
mod files;
mod fuzz;
mod harness;
mod life;
mod links;
mod listing;
mod network;
mod processes;
mod protocol;
mod sandbox;
mod spec;
mod streams;
mod terminal;
