//! Paths that the container must not see, or not change.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::{mounts, resolve};
use crate::container::error::{Result, Step as _};
use crate::container::sys::{self, MountAttributes};

const ONTO: MoveMountFlags =
    MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH.union(MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH);

/// Makes what is at these paths read-only. What is not there needs nothing.
pub(super) fn readonly(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let what = || format!("make {} read-only", path.display());
        let Some(place) = find(root, path).step(what)? else {
            continue;
        };
        let tree = clone(place.as_fd(), OpenTreeFlags::AT_RECURSIVE).step(what)?;
        seal(&tree).step(what)?;
        move_mount(&tree, "", &place, "", ONTO).step(what)?;
    }
    Ok(())
}

/// Puts nothing over files and an empty folder over folders. What is not there needs nothing.
///
/// The null device is the guest's own: an image, or a neighbour with the same volume, could have
/// put something else in its place in the container.
pub(super) fn hide(root: BorrowedFd<'_>, paths: &[PathBuf]) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = openat(CWD, "/dev/null", flags, Mode::empty())
        .step(|| "open the guest's /dev/null".to_owned())?;
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let what = || format!("hide {}", path.display());
        let Some(place) = find(root, path).step(what)? else {
            continue;
        };
        let cover = if !resolve::is_folder(&place).step(what)? {
            clone(null.as_fd(), OpenTreeFlags::empty()).step(what)?
        } else if let Some(first) = &empty {
            clone(first.as_fd(), OpenTreeFlags::empty()).step(what)?
        } else {
            let folder = empty_folder()?;
            seal(&folder).step(what)?;
            folder
        };
        move_mount(&cover, "", &place, "", ONTO).step(what)?;
        if resolve::is_folder(&cover).step(what)? {
            // Attached, it can be the model of the others.
            empty.get_or_insert(cover);
        }
    }
    Ok(())
}

fn empty_folder() -> Result<OwnedFd> {
    let parameters = [("size".to_owned(), Some("0".to_owned())), limit_of_files()];
    mounts::filesystem("tmpfs", "tmpfs", &parameters)
}

fn limit_of_files() -> (String, Option<String>) {
    ("nr_inodes".to_owned(), Some("1".to_owned()))
}

fn find(root: BorrowedFd<'_>, path: &Path) -> std::result::Result<Option<OwnedFd>, Errno> {
    match resolve::open(root, path, OFlags::PATH) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn clone(file: BorrowedFd<'_>, more: OpenTreeFlags) -> std::result::Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(file, "", flags | more)
}

fn seal(tree: &OwnedFd) -> std::io::Result<()> {
    let attributes = MountAttributes {
        set: libc::MOUNT_ATTR_RDONLY,
        ..MountAttributes::default()
    };
    sys::mount_setattr(tree, true, attributes)
}
