//! The system calls that have no safe wrapper.
#![allow(unsafe_code, reason = "ioctl(2) and unshare(2) have no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::UnshareFlags;

/// `_IO(0xb7, 3)` of linux/nsfs.h.
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;

/// Moves the calling thread into a network namespace of its own.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: a new network namespace changes nothing that Rust's guarantees rest on; in
    // particular the table of descriptors stays shared (no CLONE_FILES).
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}

/// Whether a descriptor of nsfs is of a network namespace (ioctl_ns(2)).
pub(crate) fn is_network_namespace(namespace: impl AsFd) -> io::Result<bool> {
    let descriptor = namespace.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for as long as it is borrowed; the request takes no argument.
    match unsafe { libc::ioctl(descriptor, NS_GET_NSTYPE) } {
        -1 => Err(io::Error::last_os_error()),
        kind => Ok(kind == libc::CLONE_NEWNET),
    }
}

/// Takes the loopback interface of the calling thread's network namespace up (netdevice(7)).
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: the structure is plain data, for which all zeroes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let up_and_running = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(up_and_running).unwrap_or(libc::c_short::MAX);
    // SAFETY: the request points to a structure of the type that SIOCSIFFLAGS reads, with a
    // terminated name and the flags set, which outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
