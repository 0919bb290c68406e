//! The guest's kernel command line.

use virtcontainers_hypervisor::MachinePlan;
use virtcontainers_types::GuestRoot;

use crate::choice::Vsock;

/// What every guest gets. Later words win, so everything here can be overridden.
///
/// `panic=-1` and `reboot=t` end the machine on a kernel panic (QEMU is told not to reboot).
/// `cryptomgr.notests` saves a tenth and `noreplace-smp` a twentieth of an emulated kernel's start,
/// measured with Debian's 6.1 cloud kernel; `tsc=reliable`, `no_timer_check`, `mitigations=off` and
/// the words for i8042 gained nothing there. A stock kata-agent that is PID 1 needs the unified
/// cgroup hierarchy announced in systemd's words.
const WORDS: &[&str] = &[
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "reboot=t",
    "cryptomgr.notests",
    "noreplace-smp",
    "systemd.unified_cgroup_hierarchy=1",
];

/// What a guest that boots from an image gets besides: where its root is, and what its systemd
/// starts, as kata-containers' images want it.
const IMAGE_WORDS: &[&str] = &[
    "root=/dev/vda1",
    "rootfstype=ext4",
    "rootflags=errors=remount-ro",
    "ro",
    "systemd.unit=kata-containers.target",
    "systemd.mask=systemd-networkd.service",
    "systemd.mask=systemd-networkd.socket",
];

/// The port of the host on which the guest's agent reports that it is up.
const ANNOUNCE_PORT: u32 = 1023;

/// The longest line that an x86 kernel reads: `COMMAND_LINE_SIZE` less the final zero.
pub(crate) const MAX_LENGTH: usize = 2047;

/// Our words, then the configuration's, then the sandbox's.
///
/// All guests of a host share its AF_VSOCK ports, so with the kernel's vsock each calls the port
/// that is its own context id; with a helper each has ports to itself.
pub(crate) fn render(plan: &MachinePlan, configured: &[String], vsock: &Vsock) -> String {
    let announce_port = match vsock {
        Vsock::Vhost { cid } => *cid,
        Vsock::VhostUser { .. } => ANNOUNCE_PORT,
    };
    let mut words: Vec<String> = WORDS.iter().map(ToString::to_string).collect();
    match plan.boot.root {
        GuestRoot::Initrd(_) => {}
        GuestRoot::Image(_) => words.extend(IMAGE_WORDS.iter().map(ToString::to_string)),
    }
    if plan.agent_announces {
        words.push(format!("agent.announce_vport={announce_port}"));
    }
    words.extend(configured.iter().cloned());
    words.extend(plan.boot.kernel_params.iter().cloned());
    words.join(" ")
}
