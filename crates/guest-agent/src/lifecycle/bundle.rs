//! The folder of a container and the root file system bound into it.
//!
//! These are a handful of quick system calls; a helper thread would cost more than they do.

use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use crate::status::{Doing as _, Failure, Result};

/// Makes the folder and binds `root` on its `rootfs`.
///
/// # Errors
/// INVALID_ARGUMENT when `root` is no absolute path of a folder, INTERNAL when the bind fails.
/// Nothing is left in either case.
pub(super) fn make(bundle: &Path, root: &Path) -> Result<PathBuf> {
    let upward = root
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if !root.is_absolute() || upward || !root.is_dir() {
        return Err(Failure::invalid(format!(
            "root file system {root:?} is not a folder here"
        )));
    }
    let rootfs = bundle.join("rootfs");
    let made = std::fs::create_dir_all(&rootfs)
        .doing(|| format!("create {}", rootfs.display()))
        .and_then(|()| {
            rustix::mount::mount_bind_recursive(root, &rootfs)
                .doing(|| format!("bind {} on {}", root.display(), rootfs.display()))
        });
    if let Err(failure) = made {
        unmake(bundle);
        return Err(failure);
    }
    Ok(rootfs)
}

/// Takes the folder away. The root file system goes lazily, so that what still uses it does not
/// hold up the rest; the folder is only emptied of what is not mounted.
pub(super) fn unmake(bundle: &Path) {
    let rootfs = bundle.join("rootfs");
    match rustix::mount::unmount(&rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(errno) => log::warn!("unmount {}: {errno}", rootfs.display()),
    }
    // Not recursive: were the bind still there, the host's files would be deleted.
    if let Err(error) = std::fs::remove_dir(&rootfs)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        log::warn!("remove {}: {error}", rootfs.display());
        return;
    }
    if let Err(error) = std::fs::remove_dir_all(bundle)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        log::warn!("remove {}: {error}", bundle.display());
    }
}
