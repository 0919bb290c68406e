//! Filling a new file system in memory with what it is mounted over, for the option `tmpcopyup`.
//!
//! What is copied belongs to the container's image and cannot be trusted: no link is followed, and
//! everything is reached from descriptors.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, fchmod, fchown,
    openat, statat, utimensat,
};
use rustix::io::Errno;

use crate::container::error::{EngineError, Result, Step as _};

/// Deepest folder that is copied: each takes descriptors.
const DEEPEST: usize = 128;

/// Copies owner, permissions and content of the folder `from` to the empty folder `to`. The
/// permissions stay as they are when `keep_mode`.
///
/// # Errors
/// The call that failed, with the name in question.
pub(super) fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>, keep_mode: bool) -> Result<()> {
    let what = || "copy up".to_owned();
    let from = folder(from, c".").step(what)?;
    let to = folder(to, c".").step(what)?;
    content(from.as_fd(), to.as_fd(), 0)?;
    let status = rustix::fs::fstat(&from).step(what)?;
    fchown(&to, Some(owner(&status)), Some(group(&status))).step(what)?;
    match keep_mode {
        true => Ok(()),
        false => fchmod(&to, Mode::from_raw_mode(status.st_mode)).step(what),
    }
}

fn content(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(EngineError::invalid("copy up: folders are too deep"));
    }
    let what = || "copy up".to_owned();
    for entry in Dir::read_from(from).step(what)? {
        let entry = entry.step(what)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        one(from, to, name, depth)
            .map_err(|error| error.within(name.to_string_lossy().into_owned()))?;
    }
    Ok(())
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<()> {
    let what = || "copy up".to_owned();
    let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).step(what)?;
    let mode = Mode::from_raw_mode(status.st_mode);
    let kind = FileType::from_raw_mode(status.st_mode);
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::RWXU).step(what)?;
            let below = folder(from, name).step(what)?;
            let made = folder(to, name).step(what)?;
            content(below.as_fd(), made.as_fd(), depth + 1)?;
        }
        FileType::RegularFile => file(from, to, name).step(what)?,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new()).step(what)?;
            rustix::fs::symlinkat(target, to, name).step(what)?;
        }
        // Whoever listens on it does so at the old place.
        FileType::Socket => return Ok(()),
        kind => {
            rustix::fs::mknodat(to, name, kind, Mode::RUSR, status.st_rdev).step(what)?;
        }
    }
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = (owner(&status), group(&status));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), nofollow).step(what)?;
    if kind != FileType::Symlink {
        // After the owner, whose change takes special bits away. What is there is ours.
        rustix::fs::chmodat(to, name, mode, AtFlags::empty()).step(what)?;
    }
    utimensat(to, name, &times(&status), nofollow).step(what)
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> std::io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let source = openat(from, name, OFlags::RDONLY | flags, Mode::empty())?;
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let target = openat(to, name, create | flags, Mode::RUSR | Mode::WUSR)?;
    std::io::copy(&mut File::from(source), &mut File::from(target)).map(drop)
}

fn folder(at: BorrowedFd<'_>, name: &CStr) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

fn owner(status: &Stat) -> Uid {
    Uid::from_raw(status.st_uid)
}

fn group(status: &Stat) -> Gid {
    Gid::from_raw(status.st_gid)
}

fn times(status: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: status.st_atime,
            tv_nsec: status.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: status.st_mtime,
            tv_nsec: status.st_mtime_nsec as _,
        },
    }
}
