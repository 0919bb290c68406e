//! Whatever dies, and when: nothing is lost, and nothing is left behind.
//!
//! Every operation is carried out again and again from the same prepared state, with a fault at its
//! first effect point, its second, and so on, until it completes without reaching the point. After
//! each a fresh runtime recovers; what is sound then must be whole and usable, and after a delete
//! the host must be as it was.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod act;
mod aftermath;
mod child;
mod lifecycle;
mod links;
mod matrix;
mod place;
mod reboot;
mod stage;
mod table;

use std::sync::{Mutex, PoisonError};

/// Descriptors are counted, so that nothing else may happen in the process meanwhile.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
