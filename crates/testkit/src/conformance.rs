//! What every implementation of a port promises, as a list of sentences with a check for each.
//!
//! A suite is a list of [`Promise`]s; its `run` takes a harness, which says how to make the thing
//! under test and how to look at it from outside, and gives a [`Report`]. For each promise there is
//! an implementation in [`broken`] that breaks it, so that the suite itself is tested.

pub mod agent;
pub mod broken;
pub mod hypervisor;
mod promise;
mod report;
pub mod store;

pub use promise::{Ability, Need, Promise};
pub use report::{Finding, Outcome, Report};

/// Fails the check with a sentence unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
use ensure;
