//! The system calls that have no safe wrapper.
#![allow(
    unsafe_code,
    reason = "ioctl(2), unshare(2) and some options of getsockopt(2) have no safe wrapper"
)]

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

/// Moves the calling thread into a mount namespace of its own.
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: a new mount namespace changes nothing that Rust's guarantees rest on; in particular
    // the table of descriptors stays shared (no CLONE_FILES).
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?)
}

/// The cookie of the calling thread's network namespace; absent before Linux 5.14.
pub(crate) fn namespace_cookie() -> io::Result<Option<u64>> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut cookie: u64 = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&cookie)).map_err(io::Error::other)?;
    // SAFETY: the value and its length point to live variables, and the length is the value's.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match result {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(None),
            error => Err(error),
        },
        _ => Ok(Some(cookie)),
    }
}

/// `IFF_TUN_EXCL` (linux/if_tun.h).
const EXCLUSIVE: libc::c_int = 0x8000;

/// Attaches a descriptor of /dev/net/tun to the tap `name` of the namespace in which it was opened.
/// Error: `EBUSY` when it shall be `new` and is not.
pub(crate) fn set_tap(tun: impl AsFd, name: &str, several: bool, new: bool) -> io::Result<()> {
    let exclusive = if new { EXCLUSIVE } else { 0 };
    set_interface(tun, name, frame_flags(several) | exclusive)
}

/// Has a descriptor of a macvtap carry frames as a tap does.
pub(crate) fn set_macvtap(tap: impl AsFd, several: bool) -> io::Result<()> {
    set_interface(tap, "", frame_flags(several))
}

/// Ethernet frames, each after a header of virtio's.
const fn frame_flags(several: bool) -> libc::c_int {
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if several {
        flags | libc::IFF_MULTI_QUEUE
    } else {
        flags
    }
}

fn set_interface(tun: impl AsFd, name: &str, flags: libc::c_int) -> io::Result<()> {
    let mut request = interface_request(name)?;
    // The field is 16 bits of flags, of which the sign is one.
    let bits = u16::try_from(flags).map_err(io::Error::other)?;
    request.ifr_ifru.ifru_flags = bits.cast_signed();
    // SAFETY: the request points to a structure of the type that TUNSETIFF reads and writes, with a
    // terminated name and the flags set, which outlives the call.
    match unsafe { libc::ioctl(tun.as_fd().as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A request about an interface, with its name and nothing else.
fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: the structure is plain data, for which all zeroes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
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
    let mut request = interface_request("lo")?;
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
