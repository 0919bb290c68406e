//! Places in the guest that host and agent agree on (kata-agent 4.1).

/// Where the directory shared by the host is mounted; the only place files can be copied to.
pub const SHARED: &str = "/run/kata-containers/shared/containers";

/// Shared memory of the sandbox, to be bound on `/dev/shm` of its containers.
pub const SANDBOX_SHM: &str = "/run/kata-containers/sandbox/shm";

/// Below which volumes in the guest's memory are mounted, by name.
pub const SANDBOX_EPHEMERAL: &str = "/run/kata-containers/sandbox/ephemeral";

/// The virtio-fs tag of the shared directory.
pub const SHARED_TAG: &str = "kataShared";
