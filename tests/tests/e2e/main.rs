//! End to end: `vc` from outside, real virtual machines, and nothing left behind.
//!
//! `cargo xtask e2e` builds what these tests need and names it in the environment.

mod deaths;
mod detached;
mod exec;
mod files;
mod gc;
mod isolation;
mod network;
mod operator;
mod paths;
mod pods;
mod refusals;
mod run;
mod streams;
mod supervisor;
mod terminal;
