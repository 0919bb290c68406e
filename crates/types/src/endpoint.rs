//! Where the guest agent can be reached.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The way into a guest; a machine hands it out, the agent client connects to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentEndpoint {
    /// The host kernel's AF_VSOCK.
    Vsock {
        /// The guest's context id.
        cid: u32,
    },
    /// A unix socket that forwards to guest ports after a `CONNECT <port>` line.
    HybridVsock {
        /// The socket on the host.
        path: PathBuf,
    },
    /// A unix socket on which an agent answers directly.
    Unix {
        /// The socket on the host.
        path: PathBuf,
    },
}
