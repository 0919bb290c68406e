//! The one place of this crate that is unsafe: the code between fork and exec, the registration of a
//! descriptor with the runtime, the disposition of signals, and the pages of this program.
//!
//! Everything that allocates, or can fail for a reason of ours, happens before the fork, in
//! [`Image`]. The child of a fork of a program with threads may only make async-signal-safe calls
//! (signal-safety(7)): a lock of the allocator may be held by a thread that does not exist in it.
//! So the child makes system calls on values that are ready, one after another, and each failure is
//! fatal: it is reported through a pipe that the exec closes, by step and number.
#![allow(
    unsafe_code,
    reason = "fork and exec have no safe form that can assign descriptors and name the failed \
              step; a runtime watches descriptor numbers; memory is named by address"
)]

use std::ffi::{CString, c_char, c_int, c_ulong};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitOptions};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{Error, ErrorKind};

/// Makes this process ignore a signal. Children that are started here do not inherit that.
pub(crate) fn ignore(signal: c_int) -> io::Result<()> {
    // SAFETY: no handler of ours is named, so nothing of ours can run at a bad moment.
    match unsafe { libc::signal(signal, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Lets the current runtime watch a descriptor for readability. Each number only once at a time.
pub(crate) fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned and open, and the result keeps it so until it is deregistered.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// Drops the pages of a mapping of this program's code or constants, as `/proc/self/maps` tells it: not
/// writable, of the program's file, executable or at the file's beginning.
pub(crate) fn drop_code(from: usize, length: usize) -> io::Result<()> {
    let start = ptr::without_provenance_mut(from);
    // SAFETY: nobody has written to code that is mapped read-only, nor to the file's first segment,
    // which holds its header and constants without relocations; so their pages are the file's, from
    // which they are read again when they are used (madvise(2)).
    match unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// All that the child needs, ready to use.
#[derive(Debug)]
pub(crate) struct Image {
    /// The path to execute.
    pub(crate) program: CString,
    /// The arguments, the program's name first.
    pub(crate) argv: Vec<CString>,
    /// `NAME=value`.
    pub(crate) environment: Vec<CString>,
    /// The working directory.
    pub(crate) directory: Option<CString>,
    /// What becomes 0, 1, 2, …; the number of each is at least the count of them.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// The network namespace to enter.
    pub(crate) network_namespace: Option<OwnedFd>,
    /// The rest.
    pub(crate) options: Options,
}

/// What the child does to itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Become the leader of a session.
    pub(crate) own_session: bool,
    /// Be killed when the thread that forked ends.
    pub(crate) die_with_thread: bool,
    /// Give up gaining privileges.
    pub(crate) no_new_privileges: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            own_session: true,
            die_with_thread: false,
            no_new_privileges: false,
        }
    }
}

/// A step of the child, as the report's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Fork,
    Session,
    Signals,
    DeathSignal,
    Namespace,
    Directory,
    Descriptors,
    Privileges,
    Orphan,
    Execute,
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Fork,
        Self::Session,
        Self::Signals,
        Self::DeathSignal,
        Self::Namespace,
        Self::Directory,
        Self::Descriptors,
        Self::Privileges,
        Self::Orphan,
        Self::Execute,
    ];

    const fn in_words(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Session => "make a session",
            Self::Signals => "reset signals",
            Self::DeathSignal => "ask for a signal at the end of its parent",
            Self::Namespace => "enter the network namespace",
            Self::Directory => "enter the working directory",
            Self::Descriptors => "arrange descriptors (needs Linux 5.11)",
            Self::Privileges => "give up gaining privileges",
            Self::Orphan => "find its parent alive",
            Self::Execute => "execute",
        }
    }
}

/// Which step failed, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    step: Step,
    errno: Errno,
}

impl Failure {
    pub(crate) fn into_error(self, program: &Path) -> Error {
        let program = program.display();
        let step = self.step.in_words();
        if self.step == Step::Execute {
            return Error::system(format!("cannot execute {program}"), self.errno);
        }
        // Only an exec's "not found" is about the program.
        let error = Error::system(
            format!("cannot start {program}: its process could not {step}"),
            self.errno,
        );
        match error.kind() {
            ErrorKind::NotFound if self.step != Step::Directory => {
                error.with_kind(ErrorKind::Internal)
            }
            _ => error,
        }
    }
}

/// Forks and executes; returns when the exec has succeeded or the child has ended without.
pub(crate) fn start(image: &Image) -> Result<Pid, Failure> {
    let failed = |errno| Failure {
        step: Step::Fork,
        errno,
    };
    let argv = pointers(&image.argv);
    let environment = pointers(&image.environment);
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    let above = RawFd::try_from(image.descriptors.len()).unwrap_or(RawFd::MAX);
    let writer = fcntl_dupfd_cloexec(writer, above).map_err(failed)?;
    // SAFETY: getpid has no preconditions.
    let parent = unsafe { libc::getpid() };

    let signals = SignalsBlocked::new();
    // SAFETY: the child runs nothing but `become_program`, which is async-signal-safe and never
    // returns; the parent goes on as before.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: this is the child of a fork; the pointers come from `image`, which the child has
        // a copy of, and both arrays end in a null pointer.
        unsafe {
            become_program(
                image,
                argv.as_ptr(),
                environment.as_ptr(),
                parent,
                writer.as_raw_fd(),
            )
        }
    }
    let fork_error = Errno::from_io_error(&io::Error::last_os_error());
    drop(signals);
    drop(writer);
    let forked = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
    let pid = forked.ok_or_else(|| failed(fork_error.unwrap_or(Errno::AGAIN)))?;
    match read_report(reader) {
        None => Ok(pid),
        Some(failure) => {
            // The child exits right after its report.
            if let Err(error) = rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
                tracing::debug!(%error, "a child that could not start was reaped elsewhere");
            }
            Err(failure)
        }
    }
}

/// The pipe ends without a byte when the exec closed its other end.
fn read_report(reader: OwnedFd) -> Option<Failure> {
    let mut report = [0; REPORT_LENGTH];
    File::from(reader).read_exact(&mut report).ok()?;
    let [step, errno @ ..] = report;
    let step = Step::ALL.into_iter().find(|known| *known as u8 == step)?;
    let errno = Errno::from_raw_os_error(i32::from_ne_bytes(errno));
    Some(Failure { step, errno })
}

const REPORT_LENGTH: usize = 5;

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let ends = std::iter::once(ptr::null());
    strings.iter().map(|s| s.as_ptr()).chain(ends).collect()
}

/// All signals wait while this lives, so that no handler of ours runs in the child before it has
/// reset them.
struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    fn new() -> Self {
        // SAFETY: both sets are valid for writes, and sigfillset initialises the first before use.
        unsafe {
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            Self { before }
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled by pthread_sigmask; a null old set is allowed.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

/// Turns the fork into the program, or reports why not and exits.
///
/// # Safety
///
/// To be called in the child of a fork only, with null-terminated arrays of pointers to strings.
unsafe fn become_program(
    image: &Image,
    argv: *const *const c_char,
    environment: *const *const c_char,
    parent: libc::pid_t,
    report: RawFd,
) -> ! {
    let step = prepare(image, parent).err().unwrap_or_else(|| {
        // SAFETY: the caller promises the arrays; execve returns only on failure.
        unsafe { libc::execve(image.program.as_ptr(), argv, environment) };
        Step::Execute
    });
    let errno = match step {
        Step::Orphan => libc::ESRCH,
        // SAFETY: errno of this thread is always readable.
        _ => unsafe { *libc::__errno_location() },
    };
    let mut bytes = [0; REPORT_LENGTH];
    bytes[0] = step as u8;
    bytes[1..].copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: the buffer is valid for its length; _exit runs no handlers and does not return.
    unsafe {
        libc::write(report, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127)
    }
}

/// The steps before the exec. Only system calls on ready values.
fn prepare(image: &Image, parent: libc::pid_t) -> Result<(), Step> {
    let options = image.options;
    if options.own_session {
        // SAFETY: no preconditions.
        check(unsafe { libc::setsid() }, Step::Session)?;
    }
    reset_signals()?;
    if options.die_with_thread {
        // SAFETY: PR_SET_PDEATHSIG takes a signal number.
        let asked = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, KILL) };
        check(asked, Step::DeathSignal)?;
    }
    if let Some(namespace) = &image.network_namespace {
        // SAFETY: the descriptor is open.
        let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        check(entered, Step::Namespace)?;
    }
    if let Some(directory) = &image.directory {
        // SAFETY: the string ends in a zero byte.
        check(unsafe { libc::chdir(directory.as_ptr()) }, Step::Directory)?;
    }
    assign_descriptors(&image.descriptors)?;
    if options.no_new_privileges {
        // SAFETY: PR_SET_NO_NEW_PRIVS takes these constants.
        let given_up = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, ON, OFF, OFF, OFF) };
        check(given_up, Step::Privileges)?;
    }
    // A parent that died before this would never learn of the program, and its heir may already
    // have looked for it.
    // SAFETY: no preconditions.
    match unsafe { libc::getppid() } == parent {
        true => Ok(()),
        false => Err(Step::Orphan),
    }
}

/// An exec resets handlers by itself, but neither ignored signals nor the mask.
fn reset_signals() -> Result<(), Step> {
    // The C library refuses to reset its own two signals, so the kernel is asked directly.
    // SAFETY: a zeroed action means SIG_DFL without flags, and the array is as large as the kernel's
    // struct; a null old action is allowed. The calls for SIGKILL and SIGSTOP fail and need not
    // succeed. sigemptyset initialises the mask before use.
    unsafe {
        let default = [0_u64; 4];
        for signal in 1..=LAST_SIGNAL {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<u64>(),
                size_of::<u64>(),
            );
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        check(
            libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()),
            Step::Signals,
        )
    }
}

/// The arguments of prctl are unsigned longs, and a variadic call converts nothing.
const KILL: c_ulong = libc::SIGKILL as c_ulong;
const ON: c_ulong = 1;
const OFF: c_ulong = 0;

/// `_NSIG` of Linux on all but MIPS.
const LAST_SIGNAL: c_int = 64;

/// Gives the descriptors the numbers from 0 up and lets the exec close all others, the report's
/// among them.
fn assign_descriptors(descriptors: &[OwnedFd]) -> Result<(), Step> {
    let mut number: c_int = 0;
    for descriptor in descriptors {
        // SAFETY: the source is open and above all targets, so no target is a source still needed.
        let assigned = unsafe { libc::dup2(descriptor.as_raw_fd(), number) };
        check(assigned, Step::Descriptors)?;
        number += 1;
    }
    // SAFETY: the range is valid; marking descriptors close-on-exec closes none now.
    let marked = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            number,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match marked {
        0 => Ok(()),
        _ => Err(Step::Descriptors),
    }
}

fn check(result: c_int, step: Step) -> Result<(), Step> {
    match result {
        -1 => Err(step),
        _ => Ok(()),
    }
}
