//! Helpers of the workspace tests: `vc` in a place of its own, and an inventory of what it leaves.

pub mod inventory;
pub mod place;
pub mod program;
pub mod pty;

pub use inventory::Inventory;
pub use place::Place;
pub use program::{Finished, Started};
