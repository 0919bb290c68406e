//! Helpers of the workspace tests: `vc` in a place of its own, an inventory of what it leaves, network
//! namespaces, the history of a sandbox on which many act, and a tracer that kills at the n-th system
//! call.

pub mod bundle;
pub mod history;
pub mod inventory;
pub mod links;
pub mod place;
pub mod program;
pub mod pty;
pub mod tracer;

pub use inventory::Inventory;
pub use links::Netns;
pub use place::Place;
pub use program::{Finished, Started};
