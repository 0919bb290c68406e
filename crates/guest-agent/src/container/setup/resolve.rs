//! Paths inside a root that is not ours yet, or that cannot be trusted.
//!
//! Everything goes through `openat2` with the root as the end of all climbing, and continues on
//! descriptors: between the look-up and the use nobody can exchange what was found.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::thread::LinkNameSpaceType;

use crate::container::error::{EngineError, Result, Step as _};

/// Links that are followed while the missing rest of a path is made.
const MOST_LINKS: usize = 40;

/// Our own root.
pub(super) fn root() -> Result<OwnedFd> {
    openat(
        CWD,
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .step(|| "open the root".to_owned())
}

/// Opens what is there, following links inside the root.
pub(super) fn open(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    open_by(root, path, flags, ResolveFlags::IN_ROOT)
}

/// Opens what is there if no link is on the way.
pub(super) fn open_straight(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    open_by(
        root,
        path,
        flags,
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    )
}

fn open_by(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> std::result::Result<OwnedFd, Errno> {
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Somebody renamed something at that moment, and the kernel could not be sure.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What [`ensure`] makes when there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    /// A folder.
    Folder,
    /// An empty file.
    File,
}

/// Opens a path for use as a mount point; makes what is missing of it. The descriptor is one of
/// `O_PATH`.
///
/// # Errors
/// The call that failed.
pub(super) fn ensure(root: BorrowedFd<'_>, path: &Path, make: Make) -> Result<OwnedFd> {
    let what = || format!("make {} in the container", path.display());
    match open(root, path, OFlags::PATH) {
        Err(Errno::NOENT) => {}
        found => return found.step(|| format!("open {} in the container", path.display())),
    }
    let mut todo: Vec<OsString> = components(path);
    let mut done = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&name);
        match open(root, &next, OFlags::PATH) {
            Ok(_) => done = next,
            Err(Errno::NOENT) => {
                let folder = open(root, &done, OFlags::PATH | OFlags::DIRECTORY).step(what)?;
                let last = todo.is_empty();
                match create(&folder, &name, if last { make } else { Make::Folder }) {
                    Ok(()) => done = next,
                    // A link to something that is not there: make that.
                    Err(Errno::EXIST) if links < MOST_LINKS => {
                        links += 1;
                        let target =
                            rustix::fs::readlinkat(&folder, &name, Vec::new()).step(what)?;
                        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                        if target.is_absolute() {
                            done = PathBuf::from("/");
                        }
                        todo.extend(components(&target));
                    }
                    Err(errno) => return Err(errno).step(what),
                }
            }
            Err(errno) => return Err(errno).step(what),
        }
    }
    open(root, &done, OFlags::PATH).step(what)
}

/// The names of a path, the first one last.
fn components(path: &Path) -> Vec<OsString> {
    let name = |part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    let mut names: Vec<OsString> = path.components().filter_map(name).collect();
    names.reverse();
    names
}

fn create(folder: &OwnedFd, name: &OsString, make: Make) -> std::result::Result<(), Errno> {
    match make {
        Make::Folder => rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)),
        Make::File => rustix::fs::mknodat(
            folder,
            name,
            FileType::RegularFile,
            Mode::from_raw_mode(0o644),
            0,
        ),
    }
}

/// Whether a descriptor is one of a folder.
pub(super) fn is_folder(file: impl AsFd) -> std::result::Result<bool, Errno> {
    let status = rustix::fs::statat(file, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

/// Enters the namespace of a file.
pub(super) fn enter_namespace(file: BorrowedFd<'_>, kind: u64) -> std::result::Result<(), Errno> {
    let kind = match kind as i32 {
        libc::CLONE_NEWIPC => LinkNameSpaceType::InterProcessCommunication,
        libc::CLONE_NEWUTS => LinkNameSpaceType::HostNameAndNISDomainName,
        libc::CLONE_NEWNET => LinkNameSpaceType::Network,
        libc::CLONE_NEWCGROUP => LinkNameSpaceType::ControlGroup,
        _ => return Err(Errno::INVAL),
    };
    rustix::thread::move_into_link_name_space(file, Some(kind))
}

/// Opens what a bind shows, in the guest. What lies below `run_dir` comes from the host, whose
/// links would lead to places of the guest that were never meant.
///
/// # Errors
/// The call that failed.
pub(super) fn source(path: &Path, run_dir: &Path) -> Result<OwnedFd> {
    let opened = match path.strip_prefix(run_dir) {
        Ok(below) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(CWD, run_dir, flags, Mode::empty()).and_then(|folder| {
                if below.as_os_str().is_empty() {
                    return Ok(folder);
                }
                open_straight(folder.as_fd(), below, OFlags::PATH)
            })
        }
        Err(_) => root_of_guest().and_then(|root| open(root.as_fd(), path, OFlags::PATH)),
    };
    opened.map_err(|errno| match errno {
        Errno::LOOP => EngineError::invalid(format!(
            "bind {}: there is a link on the way, which the host may not send",
            path.display()
        )),
        errno => EngineError::internal(format!("bind {}: {errno}", path.display())),
    })
}

fn root_of_guest() -> std::result::Result<OwnedFd, Errno> {
    openat(
        CWD,
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}
