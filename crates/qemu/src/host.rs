//! What this host offers a machine: facts are read by [`probe`], and what follows from them is
//! decided here.

mod kvm;
mod read;

use std::path::Path;

use virtcontainers_types::Mebibytes;

use crate::config::{AcceleratorChoice, VsockChoice};

/// What this host offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSupport {
    /// Guests can run on the processor.
    pub kvm: Support,
    /// The kernel carries vsock.
    pub vhost_vsock: Support,
    /// All memory, when it is known.
    pub memory: Option<Mebibytes>,
    /// The CPUs that are online, when they are known.
    pub cpus: Option<u32>,
}

/// Whether something can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It can.
    Usable,
    /// It cannot, with the reason in words.
    Unusable(String),
}

impl Support {
    /// Whether it can be used.
    pub const fn is_usable(&self) -> bool {
        matches!(self, Self::Usable)
    }
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accelerator {
    Kvm,
    Tcg,
}

/// What carries the guest's vsock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VsockTransport {
    Vhost,
    VhostUser,
}

/// Looks at the host. Has no lasting effect.
pub fn probe() -> HostSupport {
    HostSupport {
        kvm: kvm::decide(&kvm::Facts::read()),
        vhost_vsock: vhost_vsock(read::openable(Path::new("/dev/vhost-vsock"))),
        memory: read::memory(),
        cpus: read::cpus(),
    }
}

fn vhost_vsock(opened: std::io::Result<()>) -> Support {
    match opened {
        Ok(()) => Support::Usable,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Support::Unusable(
            "there is no /dev/vhost-vsock (the kernel module vhost_vsock is not loaded)".to_owned(),
        ),
        Err(error) => Support::Unusable(format!("/dev/vhost-vsock does not open: {error}")),
    }
}

impl HostSupport {
    /// The accelerator to use, or why the one that was asked for cannot be.
    pub(crate) fn accelerator(&self, choice: AcceleratorChoice) -> Result<Accelerator, String> {
        match (choice, &self.kvm) {
            (AcceleratorChoice::Tcg, _) => Ok(Accelerator::Tcg),
            (AcceleratorChoice::Auto | AcceleratorChoice::Kvm, Support::Usable) => {
                Ok(Accelerator::Kvm)
            }
            (AcceleratorChoice::Auto, Support::Unusable(_)) => Ok(Accelerator::Tcg),
            (AcceleratorChoice::Kvm, Support::Unusable(reason)) => Err(format!(
                "accelerator = \"kvm\" is configured, but {reason}: set it to \"auto\" or \"tcg\""
            )),
        }
    }

    /// The vsock transport to use, or why the one that was asked for cannot be.
    pub(crate) fn vsock(&self, choice: VsockChoice) -> Result<VsockTransport, String> {
        match (choice, &self.vhost_vsock) {
            (VsockChoice::VhostUser, _) => Ok(VsockTransport::VhostUser),
            (VsockChoice::Auto | VsockChoice::Vhost, Support::Usable) => Ok(VsockTransport::Vhost),
            (VsockChoice::Auto, Support::Unusable(_)) => Ok(VsockTransport::VhostUser),
            (VsockChoice::Vhost, Support::Unusable(reason)) => Err(format!(
                "vsock = \"vhost\" is configured, but {reason}: set it to \"auto\" or \"vhost-user\""
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(kvm: bool, vhost: bool) -> HostSupport {
        let support = |usable, why: &str| match usable {
            true => Support::Usable,
            false => Support::Unusable(why.to_owned()),
        };
        HostSupport {
            kvm: support(kvm, "no kvm"),
            vhost_vsock: support(vhost, "no vhost"),
            memory: None,
            cpus: None,
        }
    }

    #[test]
    fn accelerators() {
        use AcceleratorChoice::{Auto, Kvm, Tcg};
        let rows = [
            (Auto, true, Some(Accelerator::Kvm)),
            (Auto, false, Some(Accelerator::Tcg)),
            (Kvm, true, Some(Accelerator::Kvm)),
            (Kvm, false, None),
            (Tcg, true, Some(Accelerator::Tcg)),
            (Tcg, false, Some(Accelerator::Tcg)),
        ];
        for (choice, kvm, expected) in rows {
            assert_eq!(
                host(kvm, false).accelerator(choice).ok(),
                expected,
                "{choice:?}"
            );
        }
        let refused = host(false, false).accelerator(Kvm).expect_err("no kvm");
        assert!(
            refused.contains("no kvm") && refused.contains("tcg"),
            "{refused}"
        );
    }

    #[test]
    fn vsock_transports() {
        use VsockChoice::{Auto, Vhost, VhostUser};
        let rows = [
            (Auto, true, Some(VsockTransport::Vhost)),
            (Auto, false, Some(VsockTransport::VhostUser)),
            (Vhost, true, Some(VsockTransport::Vhost)),
            (Vhost, false, None),
            (VhostUser, true, Some(VsockTransport::VhostUser)),
            (VhostUser, false, Some(VsockTransport::VhostUser)),
        ];
        for (choice, vhost, expected) in rows {
            assert_eq!(
                host(false, vhost).vsock(choice).ok(),
                expected,
                "{choice:?}"
            );
        }
    }

    #[test]
    fn this_host_can_be_looked_at() {
        let host = probe();
        assert!(host.memory.is_some_and(|memory| memory.0 > 64), "{host:?}");
        assert!(host.cpus.is_some_and(|cpus| cpus > 0), "{host:?}");
    }
}
