#![doc = include_str!("../README.md")]

mod generated;
pub mod text;

pub use generated::{agent_ttrpc, csi, health, health_ttrpc, oci, types};
/// The empty reply of most methods.
pub use protobuf::well_known_types::empty;

/// Requests and replies of [`agent_ttrpc::AgentService`], gathered from the proto files.
pub mod agent {
    pub use crate::generated::container::*;
    pub use crate::generated::guest::*;
    pub use crate::generated::storage::*;
}

/// vsock port in the guest on which the agent serves the protocol.
pub const AGENT_PORT: u32 = 1024;

/// vsock port on the host to which our guest agent connects once, when it has begun to listen on
/// [`AGENT_PORT`]; with hybrid vsock the host listens on `<socket>_1023`. A foreign agent does not.
pub const ANNOUNCE_PORT: u32 = 1023;

/// vsock port in the guest from which kata-agent streams its log, when told to by
/// `agent.log_vport` on the kernel command line. It accepts one connection in its life.
pub const LOG_PORT: u32 = 1025;

/// Wire name of the agent service.
pub const AGENT_SERVICE: &str = "grpc.AgentService";

/// Wire name of the health service.
pub const HEALTH_SERVICE: &str = "grpc.Health";

/// Largest ttrpc frame body, in bytes; both sides refuse more.
pub const MAX_FRAME: usize = 4 << 20;

/// Word in `AgentDetails.extra_features` of an agent that takes the OCI specification as it is:
/// process limits, device rules, "unlimited" (-1) values. kata-agent 4.1 distorts these, so they
/// are not sent to an agent that does not say this word.
pub const EXACT_SPEC_FEATURE: &str = "vc-exact-spec";

/// Word on the guest's kernel command line (`vc.announce_port=N`) that moves the first call to
/// the host from [`ANNOUNCE_PORT`] to another port: with AF_VSOCK all guests of a host share its
/// ports. 0 means that no call is made.
pub const ANNOUNCE_PORT_PARAMETER: &str = "vc.announce_port";

/// Word in `AgentDetails.extra_features` of an agent that keeps the unread output of a process
/// after WaitProcess was answered, until it is read to its end or the container is removed. With
/// kata-agent 4.1 the first answer closes the pipes, so output must be drained before.
pub const OUTPUT_AFTER_WAIT_FEATURE: &str = "vc-output-after-wait";
