//! The one place of this crate that is unsafe: ioctls that the kernel alone defines, and the
//! registration of a descriptor with the runtime.
#![allow(
    unsafe_code,
    reason = "ioctls of KVM, vhost and taps have no safe form; a runtime watches descriptor numbers"
)]

use std::ffi::c_ulong;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `_IO(0xAE, 0x00)` of linux/kvm.h.
const KVM_GET_API_VERSION: c_ulong = 0xAE00;
/// `_IOW(0xAF, 0x60, __u64)` of linux/vhost.h.
const VHOST_VSOCK_SET_GUEST_CID: c_ulong = 0x4008_AF60;
/// `_IOR(0xAF, 0x00, __u64)` of linux/vhost.h.
const VHOST_GET_FEATURES: c_ulong = 0x8008_AF00;

/// Asks `/dev/kvm` for the version of its interface.
pub(crate) fn kvm_api_version(node: impl AsFd) -> io::Result<i32> {
    let node = node.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, and the request takes no argument; a node that is not KVM
    // answers ENOTTY.
    let version = unsafe { libc::ioctl(node, KVM_GET_API_VERSION, 0) };
    match version {
        -1 => Err(io::Error::last_os_error()),
        version => Ok(version),
    }
}

/// Takes a guest's context id on an open `/dev/vhost-vsock`; it is held as long as the descriptor.
pub(crate) fn set_guest_cid(node: impl AsFd, cid: u32) -> io::Result<()> {
    let node = node.as_fd().as_raw_fd();
    let cid = u64::from(cid);
    // SAFETY: the descriptor is open, and the kernel reads eight bytes from a valid pointer.
    match unsafe { libc::ioctl(node, VHOST_VSOCK_SET_GUEST_CID, &raw const cid) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether this is a tap or macvtap whose frames have virtio headers (`TUNGETIFF` of linux/if_tun.h).
pub(crate) fn is_tap_with_headers(descriptor: impl AsFd) -> bool {
    let descriptor = descriptor.as_fd().as_raw_fd();
    // SAFETY: the structure is plain data, for which all zeroes are a valid value.
    let mut link: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and the kernel writes a structure of this type to a valid
    // pointer; what is neither a tap nor a macvtap refuses or does not know the request.
    let asked = unsafe { libc::ioctl(descriptor, libc::TUNGETIFF as c_ulong, &raw mut link) };
    // SAFETY: the request has filled this member of the union, or it is zero as above.
    let flags = i32::from(unsafe { link.ifr_ifru.ifru_flags });
    let wanted = libc::IFF_TAP | libc::IFF_VNET_HDR;
    asked == 0 && flags & wanted == wanted
}

/// Whether this is a vhost device of the kernel, of whatever kind.
pub(crate) fn is_vhost(descriptor: impl AsFd) -> bool {
    let descriptor = descriptor.as_fd().as_raw_fd();
    let mut features = 0_u64;
    // SAFETY: the descriptor is open, and the kernel writes eight bytes to a valid pointer; what is
    // no such device refuses or does not know the request.
    unsafe { libc::ioctl(descriptor, VHOST_GET_FEATURES, &raw mut features) == 0 }
}

/// Lets the current runtime watch a descriptor for readability. Each number only once at a time.
pub(crate) fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned and open, and the result keeps it so until it is deregistered.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
