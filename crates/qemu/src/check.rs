//! Refusals before any effect: everything that can be known to fail, said with a remedy.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use virtcontainers_hypervisor::{
    Error, ErrorKind, MachinePlan, NetworkDeviceHandoff, NetworkDevicePlan, SharePlan,
};
use virtcontainers_types::{GuestRoot, Mebibytes};

use crate::error::of_system;
use crate::host::HostSupport;
use crate::kernel_line;
use crate::nic;
use crate::sys;

/// The longest mount tag: the field in the device's configuration space (virtio 1.2, 5.11.4).
const LONGEST_TAG: usize = 36;

/// As many as the bridge has slots: 31 (see [`nic`]).
pub(crate) const MOST_NETWORK_DEVICES: u8 = *nic::SLOTS.end() - *nic::SLOTS.start() + 1;

/// Devices of the host sit on the root bus. It has 32 slots: two are the chipset's, one the bridge's,
/// three go to vsock, shared directory and image; others are left to further arguments.
const MOST_PASSED_THROUGH: usize = 20;

/// Network devices: that their names are free and that there are slots for them.
pub(crate) fn network_devices(devices: &[NetworkDevicePlan]) -> Result<(), Error> {
    if devices.iter().any(|device| device.id == nic::BRIDGE) {
        let message = format!("a network device cannot be called {:?}", nic::BRIDGE);
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let on_root_bus = devices.iter().filter(|device| !nic::sits_on_bridge(device));
    let count = on_root_bus.count();
    if count <= MOST_PASSED_THROUGH {
        return Ok(());
    }
    let message = format!(
        "{count} devices of the host are too many: a machine has room for {MOST_PASSED_THROUGH}"
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// A network device for a machine that runs.
pub(crate) fn hot_network_device(device: &NetworkDevicePlan) -> Result<(), Error> {
    network_devices(std::slice::from_ref(device))?;
    if nic::sits_on_bridge(device) {
        return Ok(());
    }
    let message = format!(
        "the network device {} is one of the host, which only the start of a machine can give it: \
         have it in the namespace when the sandbox is created",
        device.id
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// The descriptors of a device for a machine that runs. QEMU must not find out itself: it keeps the
/// taps that come before one that is none, and does not survive a vhost-net that is none (7.2).
pub(crate) fn descriptors(handoff: &NetworkDeviceHandoff) -> Result<(), Error> {
    let mut taps = handoff.descriptors.iter();
    let mut vhost = handoff.vhost.iter();
    let wrong = if !taps.all(sys::is_tap_with_headers) {
        "no tap whose frames have virtio headers"
    } else if !vhost.all(sys::is_vhost) {
        "no vhost-net"
    } else {
        return Ok(());
    };
    let id = &handoff.id;
    let message =
        format!("a descriptor that is handed over for the network device {id} is {wrong}");
    Err(Error::new(ErrorKind::Invalid, message))
}

/// Sizes against the host.
pub(crate) fn sizes(plan: &MachinePlan, host: &HostSupport) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    if plan.memory < Mebibytes::MINIMUM {
        return refuse(format!(
            "{} of memory is less than a guest needs: give it at least {}",
            plan.memory,
            Mebibytes::MINIMUM
        ));
    }
    if let Some(memory) = host.memory.filter(|memory| plan.memory > *memory) {
        return refuse(format!(
            "{} of memory is more than this host has: give the machine at most {memory}",
            plan.memory
        ));
    }
    if let Some(cpus) = host.cpus.filter(|cpus| plan.vcpus.count() > *cpus) {
        return refuse(format!(
            "{} cpus are more than this host has: give the machine at most {cpus}",
            plan.vcpus
        ));
    }
    Ok(())
}

/// The shared directory's device.
pub(crate) fn share(share: &SharePlan) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    if share.tag.is_empty() || share.tag.len() > LONGEST_TAG {
        return refuse(format!(
            "the mount tag {:?} has {} bytes: use 1 to {LONGEST_TAG}",
            share.tag,
            share.tag.len()
        ));
    }
    if share.socket.is_absolute() {
        return refuse(format!(
            "the file system's socket {} is not relative to the machine's directory",
            share.socket.display()
        ));
    }
    Ok(())
}

/// The kernel's command line.
pub(crate) fn kernel_line(line: &str) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    if line.len() > kernel_line::MAX_LENGTH {
        return refuse(format!(
            "the kernel command line has {} bytes: shorten the kernel parameters, it can have {}",
            line.len(),
            kernel_line::MAX_LENGTH
        ));
    }
    match line.contains(['\0', '\n']) {
        true => refuse("a kernel parameter holds a line break or a zero byte".to_owned()),
        false => Ok(()),
    }
}

/// That the kernel can be read and looks like one.
pub(crate) fn kernel(path: &Path) -> Result<(), Error> {
    let head = head("kernel", path)?;
    if is_kernel(&head) {
        return Ok(());
    }
    let message = format!(
        "{} is not a kernel: it is neither an ELF file nor a bzImage; `cargo xtask guest` makes one",
        path.display()
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// That the initial RAM disk or image can be read and is not empty.
pub(crate) fn root(root: &GuestRoot) -> Result<(), Error> {
    let (what, path) = match root {
        GuestRoot::Initrd(path) => ("initrd", path),
        GuestRoot::Image(path) => ("image", path),
    };
    if !head(what, path)?.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the {what} {} is empty; `cargo xtask guest` makes an initrd",
        path.display()
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// An ELF file for this machine's family, or the header of a bzImage: "HdrS" at 0x202
/// (Documentation/x86/boot.rst).
fn is_kernel(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF") || head.get(0x202..0x206) == Some(b"HdrS")
}

/// The first bytes of a regular file.
fn head(what: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error: io::Error| {
        let message = format!(
            "cannot read the {what} {}: give another path, or make one by `cargo xtask guest`",
            path.display()
        );
        of_system(message, error)
    };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        let message = format!("the {what} {} is not a regular file", path.display());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let mut head = Vec::new();
    file.take(0x206).read_to_end(&mut head).map_err(failed)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(result: Result<(), Error>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn what_looks_like_a_kernel() {
        let mut bz_image = vec![0; 0x202];
        bz_image.extend(b"HdrS");
        let rows: [(&[u8], bool); 5] = [
            (b"\x7fELF\x02", true),
            (&bz_image, true),
            (b"", false),
            (b"#!/bin/sh", false),
            (&[0; 0x206], false),
        ];
        for (head, expected) in rows {
            assert_eq!(is_kernel(head), expected);
        }
    }

    #[test]
    fn files_that_cannot_be_booted() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty");
        File::create(&empty).expect("a file");
        let missing = folder.path().join("missing");
        assert_eq!(kind(kernel(&missing)), Some(ErrorKind::NotFound));
        assert_eq!(kind(kernel(&empty)), Some(ErrorKind::Invalid));
        assert_eq!(kind(kernel(folder.path())), Some(ErrorKind::Invalid));
        assert_eq!(
            kind(root(&GuestRoot::Initrd(missing))),
            Some(ErrorKind::NotFound)
        );
        assert_eq!(
            kind(root(&GuestRoot::Image(empty))),
            Some(ErrorKind::Invalid)
        );
        assert_eq!(kind(root(&GuestRoot::Initrd("/etc/passwd".into()))), None);
    }

    #[test]
    fn shares() {
        let rows = [
            ("kataShared", "fs.sock", None),
            ("", "fs.sock", Some(ErrorKind::Invalid)),
            (&"t".repeat(36), "fs.sock", None),
            (&"t".repeat(37), "fs.sock", Some(ErrorKind::Invalid)),
            ("kataShared", "/run/fs.sock", Some(ErrorKind::Invalid)),
        ];
        for (tag, socket, expected) in rows {
            let plan = SharePlan {
                tag: tag.to_owned(),
                socket: socket.into(),
            };
            assert_eq!(kind(share(&plan)), expected, "{tag} {socket}");
        }
    }

    #[test]
    fn kernel_lines() {
        assert_eq!(kind(kernel_line("quiet")), None);
        assert_eq!(kind(kernel_line(&"x".repeat(2047))), None);
        for bad in ["x".repeat(2048), "a\nb".to_owned(), "a\0b".to_owned()] {
            assert_eq!(kind(kernel_line(&bad)), Some(ErrorKind::Invalid));
        }
    }
}
