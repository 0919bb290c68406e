//! The system calls of the engine that neither std nor rustix offers in a safe form.
//!
//! Nothing else in the engine is unsafe. Each function is a thin cover that turns failure into
//! [`io::Error`] and takes and gives owned or borrowed Rust values.
#![allow(
    unsafe_code,
    reason = "the one module of the engine that calls libc itself"
)]

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which side of a clone this is.
#[derive(Debug)]
pub(crate) enum Side {
    /// The process that was there before, with the new one's number and pidfd.
    Parent(i32, OwnedFd),
    /// The new process.
    Child,
}

/// Witness that this process has one thread, and will have no more while the witness lives.
///
/// A fork or clone copies only the calling thread: locks that others hold would stay locked in
/// the copy for ever. Whoever holds the witness starts no thread.
#[derive(Debug)]
pub(crate) struct SingleThread(());

impl SingleThread {
    /// Looks. Without `/proc`, as at the start of a guest, nobody can tell and the caller is
    /// believed.
    ///
    /// # Errors
    /// When there is more than one thread.
    pub(crate) fn witness() -> io::Result<Self> {
        match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
            Ok(1) | Err(_) => Ok(Self(())),
            Ok(_) => Err(io::Error::other("this process has threads already")),
        }
    }
}

/// The flag of clone3(2), which is wider than libc's constant.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Clones the calling process into a cgroup; the new process becomes a sibling: a child of our
/// own parent, which is told of its end as it will be told of ours.
///
/// # Errors
/// Those of clone3(2).
pub(crate) fn clone_sibling(
    _: &SingleThread,
    namespaces: u64,
    cgroup: impl AsFd,
) -> io::Result<Side> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain data for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags =
        namespaces | libc::CLONE_PARENT as u64 | libc::CLONE_PIDFD as u64 | CLONE_INTO_CGROUP;
    args.pidfd = (&raw mut pidfd) as u64;
    args.cgroup = cgroup.as_fd().as_raw_fd() as u64;
    // SAFETY: args is a filled clone_args of the size given, which lives across the call; without
    // CLONE_VM the new process has its own copy of memory and goes on with the same stack, and
    // the witness says that no other thread holds a lock.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    };
    match pid {
        0 => Ok(Side::Child),
        pid if pid > 0 => {
            // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
            Ok(Side::Parent(pid as i32, unsafe {
                OwnedFd::from_raw_fd(pidfd)
            }))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Forks. `None` in the new process.
///
/// # Errors
/// Those of fork(2).
pub(crate) fn fork(_: &SingleThread) -> io::Result<Option<i32>> {
    // SAFETY: the witness says that there is a single thread.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends the process at once: no destructors, no exit handlers.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// Closes what a forked process has inherited beyond the standard descriptors and `keep`. Its
/// owners are objects of the process it is a copy of, and the copy never gets back to them.
///
/// # Errors
/// Those of close_range(2).
pub(crate) fn close_inherited(_: &SingleThread, keep: &[RawFd]) -> io::Result<()> {
    let first = 3;
    let mut keep: Vec<u32> = keep
        .iter()
        .filter(|fd| **fd >= first)
        .map(|fd| *fd as u32)
        .collect();
    keep.sort_unstable();
    let mut from = first as u32;
    for kept in keep.into_iter().chain([u32::MAX]) {
        if from < kept {
            let to = if kept == u32::MAX { kept } else { kept - 1 };
            // SAFETY: three integers; a freshly forked process of one thread uses none of these
            // descriptors, and its copies of their owners are never dropped.
            check(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })?;
        }
        from = kept.saturating_add(1);
    }
    Ok(())
}

/// Gives a freshly cloned process the signal state that a program expects: every signal handled
/// by default, none blocked.
pub(crate) fn default_signals() {
    for number in 1..=64 {
        // SAFETY: SIG_DFL is a valid handler; numbers that cannot be set are refused harmlessly.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    // SAFETY: sigset_t is plain data, filled by sigemptyset before its use.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Leaves the cgroup namespace for a new one, rooted at the cgroup that we are in.
///
/// # Errors
/// Those of unshare(2).
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: takes an integer; unlike CLONE_FILES this concerns no descriptor.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP).into() }).map(drop)
}

/// Changes of a mount's attributes and propagation, as in `struct mount_attr`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MountAttributes {
    /// `MOUNT_ATTR_*` to set.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` to clear, before the others are set.
    pub(crate) clear: u64,
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0 to leave it.
    pub(crate) propagation: u64,
}

/// Changes a mount, or with `recursive` the tree of mounts below it, too.
///
/// # Errors
/// Those of mount_setattr(2).
pub(crate) fn mount_setattr(
    mount: impl AsFd,
    recursive: bool,
    change: MountAttributes,
) -> io::Result<()> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    let attributes = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: 0,
    };
    // SAFETY: an empty terminated path and a mount_attr of the size given live across the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Sets a limit of this process by its number.
///
/// # Errors
/// Those of setrlimit(2).
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: reads one rlimit, which lives across the call; a bad number is refused.
    check(unsafe { libc::setrlimit(resource as _, &raw const limit).into() }).map(drop)
}

/// Begins a session keyring of our own, so that the agent's is not shared. Kernels without
/// keyrings are fine.
pub(crate) fn new_session_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    let no_name: *const libc::c_char = ptr::null();
    // SAFETY: a null name asks for an anonymous keyring.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) };
}

/// Confines the process by a filter in classic BPF; each instruction is 8 bytes.
///
/// # Errors
/// Those of seccomp(2); `EINVAL` for a filter that the kernel does not accept.
pub(crate) fn load_seccomp(filter: &[u8], flags: u64) -> io::Result<()> {
    let instructions: Vec<libc::sock_filter> = filter
        .chunks_exact(size_of::<libc::sock_filter>())
        .map(|bytes| libc::sock_filter {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect();
    let len = u16::try_from(instructions.len())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog {
        len,
        filter: instructions.as_ptr().cast_mut(),
    };
    // SAFETY: the program points to `len` instructions, which live across the call and are read
    // only.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    })
    .map(drop)
}

/// Replaces the process by a program. Returns only when that fails.
///
/// # Errors
/// Those of execve(2).
pub(crate) fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Result<Infallible> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|text| text.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: path is terminated, argv and envp are null-terminated lists of terminated strings,
    // and all of them live across the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Loads a device program for cgroups; each instruction is 8 bytes.
///
/// # Errors
/// Those of bpf(2); `EACCES` when the verifier refuses the program.
pub(crate) fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    const MOST_TRIES: u32 = 100;
    #[repr(C)]
    #[derive(Default)]
    struct Load {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
    }
    let load = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    let mut tries = 0;
    let fd = loop {
        // SAFETY: the attributes are of the size given and point to `insn_cnt` instructions and a
        // terminated string; all live across the call.
        let result = check(unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_PROG_LOAD,
                &raw const load,
                size_of::<Load>(),
            )
        });
        match result {
            // The verifier gives up when a signal waits, such as one of a child's end; the signal
            // is taken on the way back from the call.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < MOST_TRIES => {
                tries += 1;
            }
            result => break result?,
        }
    };
    // SAFETY: the descriptor was just made and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Attaches a device program to a cgroup, in place of `old` if there is one.
///
/// # Errors
/// Those of bpf(2).
pub(crate) fn attach_device_program(
    cgroup: impl AsFd,
    program: impl AsFd,
    old: Option<&OwnedFd>,
) -> io::Result<()> {
    const BPF_PROG_ATTACH: libc::c_long = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
    const BPF_F_REPLACE: u32 = 1 << 2;
    #[repr(C)]
    struct Attach {
        target_fd: u32,
        attach_bpf_fd: u32,
        attach_type: u32,
        attach_flags: u32,
        replace_bpf_fd: u32,
    }
    let attach = Attach {
        target_fd: cgroup.as_fd().as_raw_fd() as u32,
        attach_bpf_fd: program.as_fd().as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | if old.is_some() { BPF_F_REPLACE } else { 0 },
        replace_bpf_fd: old.map_or(0, |old| old.as_raw_fd() as u32),
    };
    // SAFETY: the attributes are of the size given and live across the call; they hold
    // descriptors that the caller keeps open.
    check(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            &raw const attach,
            size_of::<Attach>(),
        )
    })
    .map(drop)
}

/// Brings the loopback link of the current network namespace up.
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
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives across the call.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    check(result.into()).map(drop)
}

/// Registers an owned descriptor with the runtime.
///
/// # Errors
/// When the kernel cannot poll it.
pub(crate) fn watch<T: AsRawFd + Into<OwnedFd>>(
    owner: T,
    interest: Interest,
) -> io::Result<AsyncFd<T>> {
    // SAFETY: a type that can become an OwnedFd owns its descriptor and keeps it open, the same
    // one, until it is dropped; nobody gets it mutably out of the AsyncFd to exchange it.
    Ok(unsafe { AsyncFd::register_with_interest(owner, interest) }?)
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
