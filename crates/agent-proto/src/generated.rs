//! What the generator made of `proto/`; do not edit by hand (`tests/codegen.rs` compares).
#![allow(
    warnings,
    unsafe_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    clippy::panic,
    clippy::unimplemented,
    clippy::todo,
    reason = "generated code keeps its own style"
)]

pub mod agent_ttrpc;
pub mod container;
pub mod csi;
pub mod guest;
pub mod health;
pub mod health_ttrpc;
pub mod oci;
pub mod process;
pub mod process_ttrpc;
pub mod storage;
pub mod types;
