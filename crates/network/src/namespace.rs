//! A network namespace that is held open.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::thread::inside;
use crate::{Error, ErrorKind, sys};

/// The magic number of the file system of namespaces (statfs(2)).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A network namespace: it lives at least as long as this value.
#[derive(Debug)]
pub struct Namespace {
    path: PathBuf,
    descriptor: OwnedFd,
    /// Asked for once, since it takes a thread.
    cookie: OnceLock<Option<u64>>,
}

impl Namespace {
    pub(crate) fn new(path: PathBuf, descriptor: OwnedFd) -> Self {
        Self {
            path,
            descriptor,
            cookie: OnceLock::new(),
        }
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

/// Which network namespace one is: by the path where it was found, and by what tells it from another
/// one at that path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceId {
    /// Where it has its name.
    pub path: PathBuf,
    /// The device of its file.
    pub device: u64,
    /// The inode of its file, which a later namespace may get again.
    pub inode: u64,
    /// The number that no other has until the host starts again (`SO_NETNS_COOKIE`, Linux 5.14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
}

impl NamespaceId {
    /// Whether it is certainly not the same, whatever its path.
    pub(crate) fn is_another_than(&self, other: &Self) -> bool {
        let cookies = self.cookie.zip(other.cookie);
        (self.device, self.inode) != (other.device, other.inode)
            || cookies.is_some_and(|(one, other)| one != other)
    }

    /// Opens what has its name, unless that is certainly another one.
    pub(crate) fn open(&self) -> Result<Option<Namespace>, Error> {
        let failed = |source| Error::system("open", &self.path, source);
        let place = match open_path(&self.path) {
            Ok(place) => place,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !is_nsfs(&place).map_err(failed)? {
            return Ok(None);
        }
        let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).map_err(failed)?;
        let file_id = identity(&file).map_err(failed)?;
        let namespace = Namespace::new(self.path.clone(), file.into());
        Ok((file_id == (self.device, self.inode)).then_some(namespace))
    }

    /// Whether the calling thread is in it, in a namespace that [`open`](Self::open) gave.
    pub(crate) fn is_here(&self) -> Result<bool, Error> {
        let here = sys::namespace_cookie()
            .map_err(|source| Error::system("look at", &self.path, source))?;
        Ok(here.zip(self.cookie).is_none_or(|(here, own)| here == own))
    }
}

/// The path leads nowhere: no file, or a process that has ended.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ESRCH)
    )
}

impl Namespace {
    /// Which one it is.
    ///
    /// Errors: `Denied`, `Internal`.
    pub fn id(&self) -> Result<NamespaceId, Error> {
        let failed = |source| Error::system("look at", &self.path, source);
        let status = rustix::fs::fstat(&self.descriptor).map_err(|source| failed(source.into()))?;
        let cookie = match self.cookie.get() {
            Some(cookie) => *cookie,
            None => {
                let cookie = inside(self, || sys::namespace_cookie().map_err(failed))?;
                *self.cookie.get_or_init(|| cookie)
            }
        };
        Ok(NamespaceId {
            path: self.path.clone(),
            device: status.st_dev,
            inode: status.st_ino,
            cookie,
        })
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
    let namespace = reopen_namespace(path)?;
    let identity =
        identity(&namespace.descriptor).map_err(|source| Error::system("look at", path, source))?;
    for own in ["/proc/self/ns/net", "/proc/1/ns/net"] {
        // What we may not even look at is not ours.
        let is_own = File::open(own).and_then(self::identity);
        if is_own.is_ok_and(|own| own == identity) {
            let message = format!(
                "{} is the host's own network namespace, which a sandbox cannot share; give it \
                 another one, or none to have one made",
                path.display()
            );
            return Err(Error::new(ErrorKind::Denied, message));
        }
    }
    Ok(namespace)
}

/// As [`open_namespace`], for one that a sandbox has already: whoever looks after the sandbox is in
/// it, which makes it not the host's.
///
/// Errors: `NotFound`, `Invalid`.
pub fn reopen_namespace(path: &Path) -> Result<Namespace, Error> {
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

fn identity(file: impl AsFd) -> io::Result<(u64, u64)> {
    let status = rustix::fs::fstat(file)?;
    Ok((status.st_dev, status.st_ino))
}

fn not_one(path: &Path) -> Error {
    let message = format!(
        "{} is not a network namespace; `ip netns add NAME` makes one at /run/netns/NAME",
        path.display()
    );
    Error::new(ErrorKind::Invalid, message)
}
