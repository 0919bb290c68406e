//! Implementations that each break one promise and keep all others, so that the suites are tested.
//!
//! They are named after the promise that they break. Each is a decorator around a sound fake, and
//! wrong in as narrow a way as the promise allows.

pub mod agent;
pub mod hypervisor;
pub mod store;
