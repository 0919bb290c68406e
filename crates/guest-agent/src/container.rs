//! The container engine: makes, starts, joins, limits and removes containers on this kernel.
//!
//! ```text
//! from_proto   wire messages  -> OCI types            pure, refuses nonsense
//! plan         OCI types      -> what has to be done  pure, refuses the rest
//! engine       keeps the containers, drives the parts below
//! cgroup       limits, device rules, counters, events of a cgroup v2
//! spawner      a small process forked early that clones container processes for the agent
//! setup        runs in the cloned process: executes the plan, then the program
//! ```
//!
//! The agent has threads and a large address space, so it never forks itself: the
//! spawner is forked at the very start and clones each container process straight into
//! its cgroup and namespaces, as a child of the agent. One clone per container or exec, no
//! intermediate process, no exec of our own binary (see `docs/adr/0001-container-library.md`).
//!
//! Needs Linux 5.14 or later: `clone3` into a cgroup, `openat2`, `mount_setattr`, `cgroup.kill`.

mod cgroup;
mod engine;
mod error;
pub(crate) mod from_proto;
mod plan;
mod setup;
mod spawner;
mod sys;
mod wire;

pub(crate) use engine::{Engine, SharedNamespaces, Stdio};
pub(crate) use error::{EngineError, ErrorKind};
pub(crate) use setup::user_names;
