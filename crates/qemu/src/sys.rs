//! The one place of this crate that is unsafe: two ioctls that the kernel alone defines, and the
//! registration of a descriptor with the runtime.
#![allow(
    unsafe_code,
    reason = "ioctls of KVM and vhost have no safe form; a runtime watches descriptor numbers"
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

/// Lets the current runtime watch a descriptor for readability. Each number only once at a time.
pub(crate) fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned and open, and the result keeps it so until it is deregistered.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
