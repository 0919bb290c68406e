//! The system calls of a tracer: ptrace(2) and seccomp(2). For x86_64.
#![allow(
    unsafe_code,
    reason = "tracing another process has no safe interface anywhere"
)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use libc::{c_char, c_int, c_long, c_ushort, c_void, pid_t};

/// A system call that is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filtered {
    pub(super) number: c_long,
    pub(super) when: When,
}

/// Which of its calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    /// With this bit in this argument.
    Set(u32, u32),
    /// Without this bit in this argument.
    Clear(u32, u32),
}

/// What a traced process did.
#[derive(Debug, Clone, Copy)]
pub(super) enum News {
    /// It ended, with this exit code or 128 + signal.
    Ended(pid_t, i32),
    /// It is about to make one of the calls.
    Calls(pid_t),
    /// It gets a signal.
    Signal(pid_t, c_int),
    /// It forked or executed.
    Other(pid_t),
}

/// Starts a program, by its path, whose calls stop it, as do those of its descendants. The calling
/// thread is its tracer. Its streams are null.
pub(super) fn start(words: &[String], filtered: &[Filtered]) -> io::Result<pid_t> {
    let filter = filter(filtered);
    let words: Vec<CString> = words
        .iter()
        .map(|word| CString::new(word.as_str()))
        .collect::<Result<_, _>>()?;
    let mut argv: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(ptr::null());
    let null = File::options().read(true).write(true).open("/dev/null")?;
    // SAFETY: the child makes system calls alone, and ends or is replaced in `become_traced`.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => return Err(io::Error::last_os_error()),
        0 => become_traced(&argv, &filter, null.as_raw_fd()),
        _ => {}
    }
    let options = libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    // It stops itself before it makes any call that is looked at.
    wait_for(pid)?;
    ptrace(libc::PTRACE_SETOPTIONS, pid, options as usize)?;
    go_on(pid, 0)?;
    Ok(pid)
}

/// The child of a fork: asks to be traced, waits for its tracer, and becomes the program.
fn become_traced(argv: &[*const c_char], filter: &[libc::sock_filter], null: c_int) -> ! {
    let program = libc::sock_fprog {
        len: filter.len() as c_ushort,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: calls that are safe after a fork, on values that were made before it: `argv` ends with
    // a null pointer, and the kernel checks the filter.
    unsafe {
        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        for stream in 0..3 {
            libc::dup2(null, stream);
        }
        libc::raise(libc::SIGSTOP);
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        );
        libc::execv(argv[0], argv.as_ptr());
        libc::_exit(127)
    }
}

fn filter(filtered: &[Filtered]) -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const NUMBER_AT: u32 = 0;
    const ARGUMENTS_AT: u32 = 16;
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let look = step(RETURN, 0, 0, libc::SECCOMP_RET_TRACE);
    let pass = step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);
    let mut program = vec![step(LOAD, 0, 0, NUMBER_AT)];
    for Filtered { number, when } in filtered {
        let number = u32::try_from(*number).unwrap_or(u32::MAX);
        let argument = |index| step(LOAD, 0, 0, ARGUMENTS_AT + 8 * index);
        match *when {
            When::Always => program.extend([step(EQUAL, 0, 1, number), look]),
            When::Set(index, bit) => program.extend([
                step(EQUAL, 0, 4, number),
                argument(index),
                step(ANY_BIT, bit_jump(true), bit_jump(false), bit),
                look,
                pass,
            ]),
            When::Clear(index, bit) => program.extend([
                step(EQUAL, 0, 4, number),
                argument(index),
                step(ANY_BIT, bit_jump(false), bit_jump(true), bit),
                look,
                pass,
            ]),
        }
    }
    program.push(pass);
    program
}

/// How far a test of bits jumps: to the next step when the call is looked at, else over it.
const fn bit_jump(look: bool) -> u8 {
    if look { 0 } else { 1 }
}

fn wait_for(pid: pid_t) -> io::Result<c_int> {
    let mut status = 0;
    // SAFETY: `status` is ours.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    match waited {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(status),
    }
}

/// Waits for the next thing that a traced process of this thread does; `None` when there is none.
pub(super) fn next() -> io::Result<Option<News>> {
    let mut status = 0;
    let options = libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: `status` is ours.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, options) };
    if pid == -1 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(None),
            _ => Err(error),
        };
    }
    Ok(Some(if libc::WIFEXITED(status) {
        News::Ended(pid, libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        News::Ended(pid, 128 + libc::WTERMSIG(status))
    } else if status >> 16 == libc::PTRACE_EVENT_SECCOMP {
        News::Calls(pid)
    } else if status >> 16 != 0 {
        News::Other(pid)
    } else {
        News::Signal(pid, libc::WSTOPSIG(status))
    }))
}

/// Lets a stopped process go on, with a signal or with none. One that was killed is gone on already.
pub(super) fn go_on(pid: pid_t, signal: c_int) -> io::Result<()> {
    match ptrace(libc::PTRACE_CONT, pid, signal as usize) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => result,
    }
}

/// The call that a process is about to make, and its first argument; `None` when it was killed
/// meanwhile.
pub(super) fn call(pid: pid_t) -> Option<(c_long, u64)> {
    let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::uninit();
    let into = registers.as_mut_ptr().cast::<c_void>();
    // SAFETY: the kernel fills the whole structure, or fails.
    let read = unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, 0, into) };
    if read != 0 {
        return None;
    }
    // SAFETY: the call above succeeded.
    let registers = unsafe { registers.assume_init() };
    Some((registers.orig_rax.cast_signed(), registers.rdi))
}

/// A word of a stopped process's memory; zero when it cannot be read.
pub(super) fn peek(pid: pid_t, address: u64) -> u64 {
    // SAFETY: the address is one of the other process; the kernel checks it.
    let word = unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, pid, address, 0) };
    match word {
        -1 => 0,
        word => word.cast_unsigned(),
    }
}

fn ptrace(request: libc::c_uint, pid: pid_t, data: usize) -> io::Result<()> {
    // SAFETY: for the requests that are made here the kernel takes `data` as a number.
    let result = unsafe { libc::ptrace(request, pid, 0, data) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
