//! A plan as QEMU's arguments: pure, compared with golden files.
//!
//! Nothing is on the line that is not needed. Names of sockets are relative to the machine's
//! directory, where QEMU works, because a socket's path must be shorter than 108 bytes. Syntax as
//! of QEMU 7.2; nothing used here is deprecated in 10.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

use virtcontainers_hypervisor::{MachinePlan, SharePlan};
use virtcontainers_types::GuestRoot;

use crate::choice::{Choice, Vsock};
use crate::host::Accelerator;
use crate::names::VHOST_SOCKET;

mod network;
#[cfg(test)]
mod tests;

/// The numbers that descriptors have in QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// The listening socket for single operations.
    pub(crate) ctl: RawFd,
    /// The listening socket for the process that watches the machine.
    pub(crate) mon: RawFd,
    /// Where the console's output goes.
    pub(crate) console: Option<RawFd>,
    /// The kernel's vhost-vsock, when it is used.
    pub(crate) vhost: Option<RawFd>,
    /// Those of each network device of the plan, in its order.
    pub(crate) network: Vec<NetworkDescriptors>,
}

/// The numbers that the descriptors of a network device have in QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkDescriptors {
    /// A tap, once for each pair of queues.
    pub(crate) taps: Vec<RawFd>,
    /// vhost-net, once for each pair of queues or not at all.
    pub(crate) vhost: Vec<RawFd>,
}

/// Filters system calls for good. Bare `on` would leave `execve` free.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Everything that QEMU can emulate, but not the promise that copying byte by byte (`rep movsb`) is
/// fast: emulated, it is a loop over bytes, which a kernel that believes the promise takes for every
/// page. Without, a boot takes less time and a raw stream out of the guest is twice as fast.
const EMULATED_CPU: &str = "max,-erms,-fsrm";

/// Without event indexes. QEMU before 8.2 does not wait until a helper has enabled a queue, and
/// `vhost-device-vsock` 0.3.0 (as its `vhost-user-backend` 0.20) throws away a kick that comes before
/// that. On a busy host the kick lost is that of the guest's first call. With event indexes that is
/// for good: the helper never moved the index at which it wants the next kick, so the guest sends
/// none. Without, each buffer is announced, and the agent's second call takes the first along. The
/// same holds for interrupts, which go to nobody until the helper has read where they go.
const HELPED_VSOCK: &str = "vhost-user-vsock-pci,chardev=vsock,event_idx=off";

/// All arguments after the program's name.
pub(crate) fn render(
    plan: &MachinePlan,
    choice: &Choice,
    descriptors: &Descriptors,
) -> Vec<OsString> {
    let mut args = Args(Vec::new());
    args.option("-name", format!("vc-{}", plan.id));
    machine(&mut args, plan, choice.accelerator);
    // The CPUs wait for a command, so that nothing of the guest runs before it may.
    args.flags(&["-S", "-no-reboot", "-no-user-config", "-nodefaults"]);
    args.option("-display", "none");
    args.option("-sandbox", SANDBOX);
    monitor(&mut args, "ctl", descriptors.ctl);
    monitor(&mut args, "mon", descriptors.mon);
    console(&mut args, descriptors.console);
    vsock(&mut args, &choice.vsock, descriptors.vhost);
    if let Some(share) = &plan.share {
        file_system(&mut args, share);
    }
    network::render(
        &mut args,
        &plan.network_devices,
        &descriptors.network,
        choice.accelerator,
    );
    args.option("-kernel", &choice.kernel);
    match &choice.root {
        GuestRoot::Initrd(path) => args.option("-initrd", path),
        GuestRoot::Image(path) => image(&mut args, path),
    }
    args.option("-append", &choice.kernel_line);
    // Last, so that ours are as they are without.
    let further = &plan.boot.hypervisor.arguments;
    args.0.extend(further.iter().map(OsString::from));
    args.0
}

fn machine(args: &mut Args, plan: &MachinePlan, accelerator: Accelerator) {
    // Devices that a chipset brings along and no guest of ours uses are left out.
    let machine =
        "q35,usb=off,vmport=off,smbus=off,sata=off,dump-guest-core=off,memory-backend=ram";
    args.option("-machine", machine);
    let (accelerator, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", EMULATED_CPU),
    };
    args.option("-accel", accelerator);
    args.option("-cpu", cpu);
    args.option("-smp", plan.vcpus.to_string());
    let size = plan.memory;
    args.option("-m", size.to_string());
    // Processes that serve vhost-user devices map the guest's memory.
    let memory = format!("memory-backend-memfd,id=ram,size={size},share=on");
    args.option("-object", memory);
}

/// The first and only disk, which is `/dev/vda` in the guest. Written as JSON, in which a path may
/// hold any character that is text.
fn image(args: &mut Args, path: &Path) {
    let node = serde_json::json!({
        "node-name": "image",
        "driver": "raw",
        "read-only": true,
        "file": { "driver": "file", "filename": path, "read-only": true },
    });
    args.option("-blockdev", node.to_string());
    args.option("-device", "virtio-blk-pci,drive=image");
}

fn monitor(args: &mut Args, name: &str, socket: RawFd) {
    let chardev = format!("socket,id={name},fd={socket},server=on,wait=off");
    args.option("-chardev", chardev);
    args.option("-mon", format!("chardev={name},mode=control"));
}

fn console(args: &mut Args, descriptor: Option<RawFd>) {
    match descriptor {
        Some(descriptor) => {
            args.option("-add-fd", format!("fd={descriptor},set=1"));
            args.option("-chardev", "file,id=console,path=/dev/fdset/1,append=on");
        }
        None => args.option("-chardev", "null,id=console"),
    }
    args.option("-device", "isa-serial,chardev=console");
}

fn vsock(args: &mut Args, vsock: &Vsock, vhost: Option<RawFd>) {
    match vsock {
        Vsock::Vhost { cid } => {
            let descriptor = vhost.map(|fd| format!(",vhostfd={fd}")).unwrap_or_default();
            args.option(
                "-device",
                format!("vhost-vsock-pci,guest-cid={cid}{descriptor}"),
            );
        }
        Vsock::VhostUser { .. } => {
            args.option("-chardev", format!("socket,id=vsock,path={VHOST_SOCKET}"));
            args.option("-device", HELPED_VSOCK);
        }
    }
}

fn file_system(args: &mut Args, share: &SharePlan) {
    let mut chardev = OsString::from("socket,id=share,path=");
    chardev.push(escaped(&share.socket));
    args.option("-chardev", chardev);
    let mut device = OsString::from("vhost-user-fs-pci,chardev=share,tag=");
    device.push(escaped(Path::new(&share.tag)));
    args.option("-device", device);
}

/// A comma within a value is written twice.
fn escaped(value: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = value.as_os_str().as_bytes();
    let doubled = bytes.iter().flat_map(|&byte| match byte {
        b',' => vec![byte, byte],
        byte => vec![byte],
    });
    OsString::from_vec(doubled.collect())
}

struct Args(Vec<OsString>);

impl Args {
    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }

    fn flags(&mut self, names: &[&str]) {
        self.0.extend(names.iter().map(OsString::from));
    }
}
