//! The directory of named network namespaces, prepared as `ip-netns(8)` does: a shared mount, so
//! that names made here are seen, and can be removed, in other mount namespaces too.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use virtcontainers_types::UndoSink;

use crate::undo::{Undo, record};
use crate::{Error, ErrorKind};

/// The directory while nobody else, `ip-netns(8)` included, prepares or removes it.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: File,
}

/// Takes hold of the directory if it exists. Blocks while another process makes or removes a
/// namespace, which is a matter of a few system calls.
pub(crate) fn hold(directory: &Path) -> Result<Option<Held>, Error> {
    let failed = |source| Error::system("lock", directory, source);
    loop {
        let lock = match File::open(directory) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        lock.lock().map_err(failed)?;
        let held = lock.metadata().map_err(failed)?;
        match fs::metadata(directory) {
            Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {
                return Ok(Some(Held { _lock: lock }));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Makes the directory and its mount where they are missing, and holds it.
pub(crate) fn prepare(directory: &Path, undo: &dyn UndoSink) -> Result<Held, Error> {
    let mut made = false;
    loop {
        if let Some(held) = hold(directory)? {
            if !is_mount(directory)? {
                if !made {
                    record(
                        undo,
                        directory,
                        &Undo::Directory {
                            path: directory.to_owned(),
                            made,
                        },
                    )?;
                }
                rustix::mount::mount_bind_recursive(directory, directory)
                    .map_err(|source| Error::system("bind onto itself", directory, source))?;
            }
            rustix::mount::mount_change(directory, MountPropagationFlags::SHARED)
                .map_err(|source| Error::system("share the mount at", directory, source))?;
            return Ok(held);
        }
        record(
            undo,
            directory,
            &Undo::Directory {
                path: directory.to_owned(),
                made: true,
            },
        )?;
        made = true;
        match DirBuilder::new().mode(0o755).create(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result.map_err(|source| Error::system("make", directory, source))?,
        }
    }
}

/// Undoes [`prepare`] when no name is left in the directory; otherwise others use it.
pub(crate) fn remove_if_unused(directory: &Path, made: bool) -> Result<(), Error> {
    let Some(held) = hold(directory)? else {
        return Ok(());
    };
    let mut entries =
        fs::read_dir(directory).map_err(|source| Error::system("read", directory, source))?;
    if entries.next().is_some() {
        return Ok(());
    }
    drop(entries);
    // Our own descriptor keeps the mount busy, and so does that of whoever comes in between.
    drop(held);
    if is_mount(directory)? {
        match rustix::mount::unmount(directory, UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // EINVAL: another undo was faster. EBUSY: somebody uses it.
            Err(Errno::INVAL | Errno::BUSY) => return Ok(()),
            Err(source) => return Err(Error::system("unmount", directory, source)),
        }
    }
    let Some(_held) = hold(directory)? else {
        return Ok(());
    };
    if !made || is_mount(directory)? {
        return Ok(());
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
            Err(Error::system("remove", directory, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether something is mounted at `path` (statx(2), Linux 5.8).
pub(crate) fn is_mount(path: &Path) -> Result<bool, Error> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let status = rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::empty())
        .map_err(|source| Error::system("look at", path, source))?;
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
