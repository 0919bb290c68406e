//! Taps that nobody sees: each in a network namespace of its own, which lives as long as it does.
#![allow(unsafe_code, reason = "ioctl(2) and unshare(2) have no safe wrapper")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::thread::UnshareFlags;

/// A tap whose frames have virtio headers.
pub(crate) fn unseen() -> io::Result<OwnedFd> {
    // The namespace is this thread's only.
    let thread = std::thread::spawn(|| {
        // SAFETY: a network namespace of its own changes nothing that Rust's guarantees rest on.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
        make()
    });
    let made = thread.join();
    made.unwrap_or_else(|_| Err(io::Error::other("the thread that makes a tap has ended")))
}

fn make() -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open("/dev/net/tun")?;
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    // SAFETY: the structure is plain data, for which all zeroes are a valid value; without a name the
    // kernel gives one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: the request points to a structure of the type that TUNSETIFF reads and writes, which
    // outlives the call.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0 => Ok(file.into()),
        _ => Err(io::Error::last_os_error()),
    }
}
