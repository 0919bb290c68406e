//! The public API from inside one process, with real virtual machines: each operation does what it
//! promises, and nothing is left behind. `docs/api.md` names the tests of this folder.
//!
//! `cargo xtask e2e` builds what these tests need and names it in the environment.

mod containers;
mod failures;
mod freezer;
mod handle;
mod hooks;
mod lifecycle;
mod limits;
mod locks;
mod network;
mod pause;
mod processes;
mod restart;
mod rig;
mod table;
