//! What was found and decided before anything is started: all that the arguments depend on besides
//! the plan.

use std::path::PathBuf;

use virtcontainers_types::GuestRoot;

use crate::host::Accelerator;

/// The choices of one launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// QEMU's program.
    pub(crate) qemu: PathBuf,
    pub(crate) accelerator: Accelerator,
    pub(crate) vsock: Vsock,
    /// The kernel, absolute, since QEMU works in another directory.
    pub(crate) kernel: PathBuf,
    /// The initial RAM disk or image, absolute.
    pub(crate) root: GuestRoot,
    /// The whole kernel command line.
    pub(crate) kernel_line: String,
}

/// What carries the guest's vsock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vsock {
    /// The host's kernel, with this context id for the guest.
    Vhost { cid: u32 },
    /// A helper program of the machine's own.
    VhostUser { helper: PathBuf },
}
