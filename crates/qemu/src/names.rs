//! The names in a machine's directory.

/// QMP for single operations by any process.
pub(crate) const CTL_SOCKET: &str = "ctl";
/// QMP for the process that watches the machine.
pub(crate) const MON_SOCKET: &str = "mon";
/// The vhost-user socket of the vsock helper.
pub(crate) const VHOST_SOCKET: &str = "vhost.sock";
/// The unix socket by which the host reaches the guest's vsock ports.
pub(crate) const HYBRID_SOCKET: &str = "vm.vsock";

/// All that this crate makes there.
pub(crate) const SOCKETS: [&str; 4] = [CTL_SOCKET, MON_SOCKET, VHOST_SOCKET, HYBRID_SOCKET];

/// The program names in messages and marks.
pub(crate) const QEMU: &str = "qemu";
/// As above, of the vsock helper.
pub(crate) const VSOCK_HELPER: &str = "vhost-device-vsock";
