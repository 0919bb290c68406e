//! The few system calls that neither std nor rustix offers in a safe form.
//!
//! Nothing else in the service part of the agent is unsafe. Each function is a thin cover: it takes
//! and gives owned or borrowed Rust values and turns failure into [`io::Error`].
#![allow(
    unsafe_code,
    reason = "the one module of the service part that calls libc itself"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use tokio::io::unix::AsyncFd;

/// Keeps the allocator from holding on to memory: one arena, large blocks mapped and given back.
/// glibc only; its limits are otherwise raised for ever by the first large message.
pub(crate) fn frugal_allocator() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers and is called before any other thread exists.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 * 1024);
    }
}

/// Gives free memory back to the kernel, after something large has gone.
pub(crate) fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes an integer and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Makes sure that descriptors 0, 1 and 2 are open, so that no later file takes their numbers.
pub(crate) fn occupy_standard_fds(console: OwnedFd) {
    let raw = console.as_raw_fd();
    for wanted in 0..=2 {
        // SAFETY: both numbers are plain integers; fcntl(F_GETFD) has no effect.
        if wanted != raw && unsafe { libc::fcntl(wanted, libc::F_GETFD) } < 0 {
            // SAFETY: `wanted` is closed (just asked, single-threaded), so nobody owns it.
            unsafe { libc::dup2(raw, wanted) };
        }
    }
    if raw <= 2 {
        std::mem::forget(console);
    }
}

/// Brings the loopback link up.
///
/// # Errors
/// Those of the socket and of `SIOCSIFFLAGS`.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: ifreq is plain data for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives across the call.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    check(result).map(drop)
}

/// Mixes `seed` into the kernel's random pool, counts it as entropy, and reseeds.
///
/// # Errors
/// Those of the random device's ioctls; `EPERM` without the right.
pub(crate) fn add_entropy(device: impl AsFd, seed: &[u8]) -> io::Result<()> {
    const RNDADDTOENTCNT: libc::c_ulong = 0x4004_5201;
    const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
    let fd = device.as_fd().as_raw_fd();
    let count = libc::c_int::try_from(seed.len())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: RNDADDTOENTCNT reads one int, which lives across the call.
    check(unsafe { libc::ioctl(fd, RNDADDTOENTCNT as _, &raw const count) })?;
    // SAFETY: RNDRESEEDCRNG takes no argument.
    check(unsafe { libc::ioctl(fd, RNDRESEEDCRNG as _, 0) })?;
    Ok(())
}

/// Opens a netlink socket that hears the kernel's device events.
///
/// # Errors
/// Those of socket(2) and bind(2).
pub(crate) fn uevent_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes three integers.
    let raw = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_KOBJECT_UEVENT) })?;
    // SAFETY: the descriptor was just made and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: sockaddr_nl is plain data for which all zeroes is a valid value.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = 1;
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: address and length describe one sockaddr_nl that lives across the call.
    check(unsafe { libc::bind(raw, (&raw const address).cast(), length) })?;
    Ok(socket)
}

/// A child that has ended, as the kernel reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its process id.
    pub(crate) pid: i32,
    /// Its exit code, or 128 + the signal that ended it.
    pub(crate) status: i32,
}

/// Looks at a child that has ended, without reaping it. `None`: there is none now.
///
/// # Errors
/// Those of waitid(2), except for having no children.
pub(crate) fn peek_ended() -> io::Result<Option<Ended>> {
    // SAFETY: siginfo_t is plain data for which all zeroes is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid writes one siginfo_t, which lives across the call.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
    match check(result) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
        other => drop(other?),
    }
    // SAFETY: waitid filled the fields for SIGCHLD, or left the structure zeroed.
    let (pid, value) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let status = if info.si_code == libc::CLD_EXITED {
        value
    } else {
        128 + value
    };
    Ok(Some(Ended { pid, status }))
}

/// Reaps a child that [`peek_ended`] has shown. Whoever else reaped it first is no error.
pub(crate) fn reap(pid: i32) {
    // SAFETY: a null status pointer is allowed; the rest are integers.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
}

/// Sends any signal, by number, to one process.
///
/// # Errors
/// Those of kill(2): `ESRCH` when there is no such process, `EINVAL` for a bad number.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    if pid <= 0 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: two integers; a positive pid names one process, never a group.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// The numbers of user and group ids are plain; `-1` leaves one as it is.
///
/// # Errors
/// Those of fchownat(2) on the link itself.
pub(crate) fn own(dir: impl AsFd, name: &str, uid: i32, gid: i32) -> io::Result<()> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let dir: RawFd = dir.as_fd().as_raw_fd();
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: the name is a terminated string that lives across the call.
    check(unsafe { libc::fchownat(dir, name.as_ptr(), uid as _, gid as _, flags) }).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Gives the calling thread IPC and UTS namespaces of its own. Call it only on a thread that ends
/// soon after: the others keep theirs.
///
/// # Errors
/// Those of unshare(2).
pub(crate) fn unshare_ipc_and_uts() -> io::Result<()> {
    // SAFETY: unshare takes an integer; no memory or descriptor is affected by these two flags.
    check(unsafe { libc::unshare(libc::CLONE_NEWIPC | libc::CLONE_NEWUTS) }).map(drop)
}

/// Makes orphans below this process its children, as PID 1 is for all.
///
/// # Errors
/// Those of prctl(2).
pub(crate) fn adopt_orphans() -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes one integer.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }).map(drop)
}

/// Opens a new terminal: its controlling side, then the side of the programs.
///
/// # Errors
/// Those of the terminal multiplexer.
pub(crate) fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: openpty writes two integers that live across the call; null means "do not care".
    check(unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            none,
            none.cast(),
            none.cast(),
        )
    })?;
    // SAFETY: both descriptors were just made and have no other owner.
    let pair = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    for fd in [&pair.0, &pair.1] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(pair)
}

/// Lets a program start in a session of its own whose terminal is its standard input.
pub(crate) fn with_terminal_session(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: setsid and ioctl are async-signal-safe and touch no memory of the parent.
    unsafe {
        command.pre_exec(|| {
            check(libc::setsid())?;
            check(libc::ioctl(0, libc::TIOCSCTTY, 0)).map(drop)
        });
    }
}

/// Hands a descriptor to the event loop.
///
/// # Errors
/// Those of epoll_ctl(2); the descriptor is closed then.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd names one open descriptor, always the same, until it is dropped, and
    // nobody replaces it in an AsyncFd, which is only ever used by reference here.
    unsafe { AsyncFd::register(fd) }.map_err(|error| error.into_parts().1)
}
