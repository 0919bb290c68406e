//! A network namespace that is held open.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::{Error, ErrorKind, sys};

/// The magic number of the file system of namespaces (statfs(2)).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A network namespace: it lives at least as long as this value.
#[derive(Debug)]
pub struct Namespace {
    path: PathBuf,
    descriptor: OwnedFd,
}

impl Namespace {
    pub(crate) fn new(path: PathBuf, descriptor: OwnedFd) -> Self {
        Self { path, descriptor }
    }

    /// Where it has its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor to hand over, closed on exec.
    ///
    /// Errors: `Internal` when there are no descriptors left.
    pub fn descriptor(&self) -> Result<OwnedFd, Error> {
        self.descriptor
            .try_clone()
            .map_err(|source| Error::system("duplicate the descriptor of", &self.path, source))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Opens the network namespace at `path`, such as `/run/netns/web` or `/proc/1234/ns/net`.
///
/// Errors: `NotFound`; `Invalid` when it is something else; `Denied` when it is the namespace of
/// this process or of the host's first one: a virtual machine in it would have the host's own
/// interfaces.
pub fn open_namespace(path: &Path) -> Result<Namespace, Error> {
    let place = open_path(path).map_err(|source| Error::system("open", path, source))?;
    if !is_nsfs(&place).map_err(|source| Error::system("look at", path, source))? {
        return Err(not_one(path));
    }
    // Only now for reading: opening, say, a FIFO could have blocked.
    let namespace = File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))
        .map_err(|source| Error::system("open", path, source))?;
    if !sys::is_network_namespace(&namespace)
        .map_err(|source| Error::system("look at", path, source))?
    {
        return Err(not_one(path));
    }
    let identity = identity(&namespace).map_err(|source| Error::system("look at", path, source))?;
    for own in ["/proc/self/ns/net", "/proc/1/ns/net"] {
        // What we may not even look at is not ours.
        let is_own = File::open(own).and_then(|own| self::identity(&own));
        if is_own.is_ok_and(|own| own == identity) {
            let message = format!(
                "{} is the host's own network namespace, which a sandbox cannot share; give it \
                 another one, or none to have one made",
                path.display()
            );
            return Err(Error::new(ErrorKind::Denied, message));
        }
    }
    Ok(Namespace::new(path.to_owned(), namespace.into()))
}

/// Opens a file as a mere place (open(2), `O_PATH`): nothing happens to what is there.
pub(crate) fn open_path(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Whether a file is a namespace of some kind.
pub(crate) fn is_nsfs(file: &File) -> io::Result<bool> {
    let kind = rustix::fs::fstatfs(file)?.f_type;
    Ok(u64::try_from(kind).is_ok_and(|kind| kind == NSFS_MAGIC))
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

fn not_one(path: &Path) -> Error {
    let message = format!(
        "{} is not a network namespace; `ip netns add NAME` makes one at /run/netns/NAME",
        path.display()
    );
    Error::new(ErrorKind::Invalid, message)
}
