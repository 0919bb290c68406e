//! The system calls that have no safe wrapper.
#![allow(
    unsafe_code,
    reason = "mount_setattr(2) and unshare(2) have no safe wrapper"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Gives the calling thread a copy of its mount namespace, and a root and working directory that it
/// shares with no other thread (unshare(2)).
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: a new mount namespace changes nothing that Rust's guarantees rest on; in particular the
    // table of descriptors stays shared (no CLONE_FILES).
    Ok(unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }?)
}

/// Sets attributes (`MOUNT_ATTR_*`) and the propagation type (`MS_*`) of a mount, and of all below
/// it if `recursive` (mount_setattr(2), Linux 5.12).
pub(crate) fn set_mount_attributes(
    mount: impl AsFd,
    attributes: u64,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    let request = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation,
        userns_fd: 0,
    };
    let depth = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor is open for as long as it is borrowed, the path is an empty
    // terminated string, and the structure has the size that is given and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | depth,
            &raw const request,
            size_of::<libc::mount_attr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
