//! What the host may want to know about this guest and this agent.

use std::path::Path;

use virtcontainers_agent_proto::agent::{AgentDetails, GuestDetailsRequest, GuestDetailsResponse};
use virtcontainers_agent_proto::{
    EXACT_SPEC_FEATURE, LIST_PROCESSES_FEATURE, OUTPUT_AFTER_WAIT_FEATURE,
};

use super::cpu_memory::memory_block_size;
use crate::agent::Agent;
use crate::status::Result;
use crate::storage;

/// Abilities beyond the protocol's own; a host that knows one may rely on it.
const FEATURES: [&str; 5] = [
    "seccomp",
    "virtcontainers",
    EXACT_SPEC_FEATURE,
    OUTPUT_AFTER_WAIT_FEATURE,
    LIST_PROCESSES_FEATURE,
];

/// Answers `GetGuestDetails`.
///
/// # Errors
/// INTERNAL when the kernel's answer makes no sense.
pub(crate) fn details(agent: &Agent, asked: &GuestDetailsRequest) -> Result<GuestDetailsResponse> {
    let mut reply = GuestDetailsResponse::new();
    if asked.mem_block_size {
        reply.mem_block_size_bytes = memory_block_size()?;
    }
    if asked.mem_hotplug_probe {
        reply.support_mem_hotplug_probe = Path::new("/sys/devices/system/memory/probe").exists();
    }
    reply.agent_details = Some(AgentDetails {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        init_daemon: agent.config.init,
        storage_handlers: storage::HANDLERS.map(str::to_owned).to_vec(),
        supports_seccomp: true,
        extra_features: FEATURES.map(str::to_owned).to_vec(),
        ..AgentDetails::default()
    })
    .into();
    Ok(reply)
}
