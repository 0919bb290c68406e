#![doc = include_str!("../README.md")]

mod annotation;
mod bundle;
mod check;
mod cmd;
mod command;
mod default_spec;
mod error;
mod features;
mod guest;
mod hooks;
mod pod;
mod route;
mod shm;
mod state;
mod user;
mod vm;

pub use annotation::{AnnotationPolicy, Asset, NetworkOverrides, Overrides, overrides};
pub use bundle::Bundle;
pub use check::{Ignored, check};
pub use cmd::cmd_process;
pub use command::{CommandLine, container_spec, exec_process};
pub use default_spec::default_spec;
pub use error::{Error, ErrorKind};
pub use features::features;
pub use guest::{HostBind, guest_spec, host_binds};
pub use hooks::{HookKind, HookPlan, HookPlans, state_json};
pub use pod::{PodRole, is_pod_sandbox, pod_role};
pub use route::{Route, SourceFacts, SourceFilesystem, SourceKind, route};
pub use shm::{SharedMemory, shared_memory};
pub use state::State;
pub use user::resolve_user;
pub use vm::VmWishes;
