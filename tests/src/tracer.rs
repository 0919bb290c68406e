//! A tracer that counts the system calls by which a program and all its descendants change the
//! host, and kills whoever makes the n-th of them, before it is made.
//!
//! `strace --inject` does nearly that, but counts for each thread apart: a call that is some thread's
//! first can only be hit when it is the first of all.

mod sys;

use std::collections::HashSet;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libc::c_long;
use rustix::process::{Pid, Signal};

use sys::{Filtered, News, When};

/// A call that was counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hit {
    /// The call.
    pub call: &'static str,
    /// Whose it is: the tag of its process, or `creator` for one without.
    pub who: String,
}

/// What was seen until the first process ended.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How the first process ended: its exit code, or 128 + signal.
    pub status: i32,
    /// All calls that were counted until then.
    pub calls: Vec<Hit>,
    /// The one that somebody was killed at.
    pub killed: Option<Hit>,
}

/// A traced program.
#[derive(Debug)]
pub struct Traced {
    first: mpsc::Receiver<Seen>,
    all: mpsc::Receiver<Result<()>>,
}

/// The calls that change the host, by name.
const CALLS: &[(&str, c_long, When)] = &[
    ("mkdir", libc::SYS_mkdir, When::Always),
    ("mkdirat", libc::SYS_mkdirat, When::Always),
    ("rmdir", libc::SYS_rmdir, When::Always),
    ("unlink", libc::SYS_unlink, When::Always),
    ("unlinkat", libc::SYS_unlinkat, When::Always),
    ("rename", libc::SYS_rename, When::Always),
    ("renameat", libc::SYS_renameat, When::Always),
    ("renameat2", libc::SYS_renameat2, When::Always),
    ("link", libc::SYS_link, When::Always),
    ("symlink", libc::SYS_symlink, When::Always),
    ("open", libc::SYS_open, When::Set(1, CREATE)),
    ("openat", libc::SYS_openat, When::Set(2, CREATE)),
    ("mount", libc::SYS_mount, When::Always),
    ("umount2", libc::SYS_umount2, When::Always),
    ("open_tree", libc::SYS_open_tree, When::Always),
    ("move_mount", libc::SYS_move_mount, When::Always),
    ("mount_setattr", libc::SYS_mount_setattr, When::Always),
    ("pivot_root", libc::SYS_pivot_root, When::Always),
    ("unshare", libc::SYS_unshare, When::Always),
    ("setns", libc::SYS_setns, When::Always),
    ("clone", libc::SYS_clone, When::Clear(0, THREAD)),
    ("clone3", libc::SYS_clone3, When::Always),
    ("fork", libc::SYS_fork, When::Always),
    ("vfork", libc::SYS_vfork, When::Always),
    ("execve", libc::SYS_execve, When::Always),
    ("socket", libc::SYS_socket, When::Always),
    ("bind", libc::SYS_bind, When::Always),
    ("connect", libc::SYS_connect, When::Always),
    // To netlink, and with descriptors to others.
    ("sendto", libc::SYS_sendto, When::Always),
    ("sendmsg", libc::SYS_sendmsg, When::Always),
];

const CREATE: u32 = libc::O_CREAT.cast_unsigned();
const THREAD: u32 = libc::CLONE_THREAD.cast_unsigned();

/// Starts a program, the first of `words`, with null streams. Whoever makes the call with the number
/// `kill_at`, counted from one over all processes, is killed with SIGKILL.
pub fn trace(words: Vec<String>, kill_at: Option<usize>) -> Traced {
    let (first_ended, first) = mpsc::channel();
    let (all_ended, all) = mpsc::channel();
    thread::spawn(move || all_ended.send(follow(&words, kill_at, &first_ended)));
    Traced { first, all }
}

impl Traced {
    /// Waits until the first process has ended.
    pub fn first_end(&self, patience: Duration) -> Result<Seen> {
        match self.first.recv_timeout(patience) {
            Ok(seen) => Ok(seen),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("does not end"),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                self.all.recv_timeout(patience)??;
                bail!("was lost sight of")
            }
        }
    }

    /// Waits until all its processes have ended.
    pub fn last_end(self, patience: Duration) -> Result<()> {
        let ended = self.all.recv_timeout(patience);
        ended.context("traced processes are left")?
    }
}

fn follow(words: &[String], kill_at: Option<usize>, ended: &mpsc::Sender<Seen>) -> Result<()> {
    let filtered = CALLS.iter().map(|(_, number, when)| Filtered {
        number: *number,
        when: *when,
    });
    let first = sys::start(words, &filtered.collect::<Vec<_>>()).context("cannot trace")?;
    let mut known = HashSet::from([first]);
    let mut calls = Vec::new();
    let mut killed = None;
    while let Some(news) = sys::next()? {
        match news {
            News::Ended(pid, status) => {
                known.remove(&pid);
                if pid == first {
                    let seen = Seen {
                        status,
                        calls: calls.clone(),
                        killed: killed.clone(),
                    };
                    // Who asked may have given up.
                    ended.send(seen).unwrap_or_default();
                }
            }
            News::Calls(pid) => {
                if let Some(hit) = counted(pid) {
                    calls.push(hit.clone());
                    if kill_at == Some(calls.len()) {
                        kill(pid)?;
                        killed = Some(hit);
                    }
                }
                sys::go_on(pid, 0)?;
            }
            // Every traced process begins with one.
            News::Signal(pid, libc::SIGSTOP) if known.insert(pid) => sys::go_on(pid, 0)?,
            News::Signal(pid, signal) => sys::go_on(pid, signal)?,
            News::Other(pid) => sys::go_on(pid, 0)?,
        }
    }
    Ok(())
}

/// The call that a process is about to make, if it counts.
fn counted(pid: libc::pid_t) -> Option<Hit> {
    let (number, argument) = sys::call(pid)?;
    let (name, _, _) = CALLS.iter().find(|(_, known, _)| *known == number)?;
    // Its flags are in memory, where the filter cannot look: the first word of its argument.
    let thread = libc::CLONE_THREAD as u64;
    if number == libc::SYS_clone3 && sys::peek(pid, argument) & thread != 0 {
        return None;
    }
    Some(Hit {
        call: name,
        who: tag(pid),
    })
}

fn tag(pid: libc::pid_t) -> String {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut entries = environment.split(|byte| *byte == 0);
    let found = entries.find_map(|entry| entry.strip_prefix(b"VC_TAG="));
    match found {
        Some(tag) => String::from_utf8_lossy(tag).into_owned(),
        None => "creator".to_owned(),
    }
}

/// Kills the whole process that a thread belongs to.
fn kill(thread: libc::pid_t) -> Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status"))?;
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let group: i32 = group.context("no thread group")?.trim().parse()?;
    let pid = Pid::from_raw(group).context("no pid")?;
    rustix::process::kill_process(pid, Signal::KILL).map_err(io::Error::from)?;
    Ok(())
}
