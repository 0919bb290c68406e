#![doc = include_str!("../README.md")]

mod generated;
pub mod text;

pub use generated::{agent_ttrpc, csi, health, health_ttrpc, oci, process, process_ttrpc, types};
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
/// [`AGENT_PORT`], told to by [`ANNOUNCE_PORT_PARAMETER`]; with hybrid vsock the host listens on
/// `<socket>_1023`. With AF_VSOCK all guests of a host share its ports, so there the port is the
/// guest's context id. A foreign agent makes no such call.
pub const ANNOUNCE_PORT: u32 = 1023;

/// Word on the guest's kernel command line (`agent.announce_vport=N`) that names the port of the
/// first call to the host. Without it no call is made; kata-agent skips it.
pub const ANNOUNCE_PORT_PARAMETER: &str = "agent.announce_vport";

/// vsock port in the guest from which kata-agent streams its log, when told to by
/// `agent.log_vport` on the kernel command line. It accepts one connection in its life.
pub const LOG_PORT: u32 = 1025;

/// Wire name of the agent service.
pub const AGENT_SERVICE: &str = "grpc.AgentService";

/// Wire name of the health service.
pub const HEALTH_SERVICE: &str = "grpc.Health";

/// Wire name of the service that lists the processes of a container; our agent's alone.
pub const PROCESS_SERVICE: &str = "virtcontainers.ProcessService";

/// Largest ttrpc frame body, in bytes; both sides refuse more.
pub const MAX_FRAME: usize = 4 << 20;

/// Word in `AgentDetails.extra_features` of an agent that takes the OCI specification as it is:
/// process limits, device rules, "unlimited" (-1) values. kata-agent 4.1 distorts these, so they
/// are not sent to an agent that does not say this word.
pub const EXACT_SPEC_FEATURE: &str = "vc-exact-spec";

/// Word in `AgentDetails.extra_features` of an agent that keeps the unread output of a process
/// after WaitProcess was answered, until it is read to its end or the container is removed. With
/// kata-agent 4.1 the first answer closes the pipes, so output must be drained before.
pub const OUTPUT_AFTER_WAIT_FEATURE: &str = "vc-output-after-wait";

/// Word in `AgentDetails.extra_features` of an agent that has [`PROCESS_SERVICE`].
pub const LIST_PROCESSES_FEATURE: &str = "vc-list-processes";
