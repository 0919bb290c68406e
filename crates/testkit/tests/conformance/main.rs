//! The suites of this crate, run against its own fakes and against their broken relatives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod hypervisor;
mod store;
