//! The standard streams: pipes from the agent, or a terminal of the container's own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{OFlags, Uid, major, minor};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::Winsize;

use super::resolve::{self, Make};
use super::users::Identity;
use crate::container::error::{EngineError, Result, Step as _};
use crate::container::plan::TerminalPlan;

const DEVPTS_MAGIC: u64 = 0x1cd1;

/// Both ends of a terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
}

/// Opens a new terminal in the container's devpts.
///
/// # Errors
/// When there is none, or something else is in its place.
pub(super) fn open_terminal(root: BorrowedFd<'_>, wanted: TerminalPlan) -> Result<Terminal> {
    let what = || "open a terminal in the container (it needs devpts at /dev/pts)".to_owned();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    let master = resolve::open(root, Path::new("/dev/pts/ptmx"), flags).step(what)?;
    let status = rustix::fs::fstat(&master).step(what)?;
    let system = rustix::fs::fstatfs(&master).step(what)?;
    let is_ptmx = (major(status.st_rdev), minor(status.st_rdev)) == (5, 2);
    if !is_ptmx || system.f_type as u64 != DEVPTS_MAGIC {
        return Err(EngineError::internal(format!(
            "{}: /dev/pts/ptmx is no terminal",
            what()
        )));
    }
    rustix::fs::fcntl_setfl(&master, OFlags::empty()).step(what)?;
    unlockpt(&master).step(what)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags).step(what)?;
    if let Some((rows, columns)) = wanted.size {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&slave, size).step(|| "size the terminal".to_owned())?;
    }
    Ok(Terminal { master, slave })
}

/// Makes the terminal the container's `/dev/console`.
pub(super) fn bind_console(root: BorrowedFd<'_>, terminal: &Terminal) -> Result<()> {
    let what = || "bind the terminal on /dev/console".to_owned();
    let place = resolve::ensure(root, Path::new("/dev/console"), Make::File)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&terminal.slave, "", flags).step(what)?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &place, "", onto).step(what)
}

/// Makes the terminal, or the pipes, this process's standard streams. Gives the agent's end of
/// the terminal.
pub(super) fn take(
    terminal: Option<Terminal>,
    pipes: Option<[OwnedFd; 3]>,
    identity: &Identity,
) -> Result<Option<OwnedFd>> {
    let (master, streams) = match (terminal, pipes) {
        (Some(Terminal { master, slave }), _) => {
            rustix::process::ioctl_tiocsctty(&slave)
                .step(|| "make the terminal the controlling one".to_owned())?;
            let copy = || slave.try_clone().step(|| "copy the terminal".to_owned());
            (Some(master), [copy()?, copy()?, slave])
        }
        (None, Some(pipes)) => (None, pipes),
        (None, None) => return Err(EngineError::internal("no streams were given")),
    };
    let what = || "set the standard streams".to_owned();
    let [stdin, stdout, stderr] = &streams;
    rustix::stdio::dup2_stdin(stdin).step(what)?;
    rustix::stdio::dup2_stdout(stdout).step(what)?;
    rustix::stdio::dup2_stderr(stderr).step(what)?;
    for stream in &streams {
        own(stream.as_fd(), identity.uid);
    }
    Ok(master)
}

/// Lets the program open its streams by name (`/dev/stdout`). What cannot change its owner, or is
/// everybody's like the null device, stays as it is.
fn own(stream: BorrowedFd<'_>, uid: u32) {
    let Ok(status) = rustix::fs::fstat(stream) else {
        return;
    };
    let is_null = (major(status.st_rdev), minor(status.st_rdev)) == (1, 3);
    if status.st_uid != uid && !is_null {
        rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None).ok();
    }
}
