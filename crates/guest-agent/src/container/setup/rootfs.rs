//! The root of the container: taking it, finishing it, moving in.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use super::resolve;
use crate::container::error::{Result, Step as _};
use crate::container::plan::ContainerPlan;
use crate::container::sys::{self, MountAttributes};

/// Cuts our mounts off from the agent's and gives the root file system a mount of its own, on top
/// of itself. Mounts that the agent makes later still arrive, ours never get out.
pub(super) fn take(path: &Path) -> Result<OwnedFd> {
    let everything = resolve::root()?;
    let slave = MountAttributes {
        propagation: libc::MS_SLAVE,
        ..MountAttributes::default()
    };
    sys::mount_setattr(&everything, true, slave).step(|| "cut off mount propagation".to_owned())?;
    let what = || format!("bind the root file system {}", path.display());
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags).step(what)?;
    move_mount(
        &tree,
        "",
        CWD,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .step(what)?;
    Ok(tree)
}

/// What must not be writable any more once everything is in it.
pub(super) fn finish(plan: &ContainerPlan, root: BorrowedFd<'_>) -> Result<()> {
    if plan.root_readonly {
        let attributes = MountAttributes {
            set: libc::MOUNT_ATTR_RDONLY,
            ..MountAttributes::default()
        };
        sys::mount_setattr(root, false, attributes)
            .step(|| "make the root file system read-only".to_owned())?;
    }
    Ok(())
}

/// Makes `root` our root. The old one is unmounted; where that is the initial root file system of
/// the kernel, which cannot be, it disappears beneath.
pub(super) fn enter(root: BorrowedFd<'_>) -> Result<()> {
    let what = || "enter the root file system".to_owned();
    rustix::process::fchdir(root).step(what)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {
            // Now the old root lies on the new one.
            unmount(".", UnmountFlags::DETACH).step(|| "leave the old root".to_owned())?;
        }
        Err(Errno::INVAL) => {
            move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).step(what)?;
            rustix::process::chroot(".").step(what)?;
        }
        Err(errno) => return Err(errno).step(what),
    }
    rustix::process::chdir("/").step(what)
}

/// Lets mounts travel as the specification says, once ours are all made.
pub(super) fn spread(plan: &ContainerPlan, root: BorrowedFd<'_>) -> Result<()> {
    let Some(propagation) = plan.root_propagation else {
        return Ok(());
    };
    sys::mount_setattr(
        root.as_fd(),
        propagation.recursive,
        propagation.attributes(),
    )
    .step(|| "set linux.rootfsPropagation".to_owned())
}
