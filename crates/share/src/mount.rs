//! Binding by descriptors, so that nothing can be swapped between a look and a mount, and
//! unmounting to the end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree};

use crate::{Error, ErrorKind, sys};

/// More mounts than this on top of each other are not ours.
const DEEPEST_STACK: usize = 16;

/// Who hears of mounts made below a mount (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// Nobody.
    Private,
    /// It gets those of the mount it was bound from and gives none back.
    Receiving,
}

/// Opens a place without doing anything to it. Symbolic links are followed if `follow`.
pub(crate) fn open_place(path: &Path, follow: bool) -> io::Result<File> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// A copy of a mount, or of a part of one, that is not attached anywhere yet. Nobody sees it
/// before its attributes are right; dropped, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Detached {
    tree: OwnedFd,
    recursive: bool,
}

impl Detached {
    /// A copy of what is at `source`, with the mounts below it if `recursive`.
    pub(crate) fn copy(source: &File, recursive: bool) -> io::Result<Self> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        if recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        let tree = open_tree(source, "", flags)?;
        Ok(Self { tree, recursive })
    }

    /// Sets how it behaves.
    pub(crate) fn set(&self, read_only: bool, propagation: Propagation) -> io::Result<()> {
        let attributes = match read_only {
            true => libc::MOUNT_ATTR_RDONLY,
            false => 0,
        };
        let propagation = match propagation {
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Receiving => libc::MS_SLAVE,
        };
        sys::set_mount_attributes(&self.tree, attributes, propagation, self.recursive)
    }

    /// Attaches it at `target`.
    pub(crate) fn attach(self, target: &File) -> io::Result<()> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        Ok(move_mount(&self.tree, "", target, "", flags)?)
    }
}

/// Whether something is mounted at `path` (statx(2), Linux 5.8); not if there is nothing.
pub(crate) fn is_mount(path: &Path) -> Result<bool, Error> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let status = match rustix::fs::statx(CWD, path, flags, StatxFlags::empty()) {
        Ok(status) => status,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        Err(source) => return Err(Error::system("look at", path, source)),
    };
    if !status
        .stx_attributes_mask
        .contains(StatxAttributes::MOUNT_ROOT)
    {
        let message = format!(
            "cannot tell whether {} is a mount; Linux 5.8 is needed",
            path.display()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Unmounts until nothing is mounted at `path`: plainly where that is possible, else out of sight,
/// to end when its last user is done. On success, and only then, `path` is what was there before.
pub(crate) fn unmount_all(path: &Path) -> Result<(), Error> {
    for _ in 0..DEEPEST_STACK {
        if !is_mount(path)? {
            return Ok(());
        }
        let result = match rustix::mount::unmount(path, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) => {
                rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
            }
            result => result,
        };
        match result {
            // EINVAL, ENOENT: somebody else was faster; look again.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(source) => return Err(Error::system("unmount", path, source)),
        }
    }
    let message = format!(
        "{} is still mounted after {DEEPEST_STACK} unmounts; it is left alone",
        path.display()
    );
    Err(Error::new(ErrorKind::Internal, message))
}
