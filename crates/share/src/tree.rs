//! The tree of one sandbox: how it is made, what is bound into it, how all of it goes.
//!
//! ```text
//! ROOT/shares/ID                 bound onto itself and shared
//! ROOT/shares/ID/rw/CID/rootfs     a container's root file system
//! ROOT/shares/ID/rw/CID/volume-N   a volume, file or directory
//! ROOT/shares/ID/ro              rw again, read-only, receiving the mounts below it
//! ```
//!
//! Only the mount at `ro` itself is read-only: a root file system or volume in it is as it is in
//! `rw`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::mount::MountPropagationFlags;
use virtcontainers_types::{ContainerId, SandboxId, UndoSink, Volume};

use crate::mount::{Detached, Propagation, is_mount, open_place, unmount_all};
use crate::undo::{Undo, record};
use crate::{Error, ErrorKind};

/// Where a guest has the tree, by the convention of the kata agent.
pub const GUEST_DIRECTORY: &str = "/run/kata-containers/shared/containers";

const ROOTFS: &str = "rootfs";
pub(crate) const WRITABLE: &str = "rw";
pub(crate) const SERVED: &str = "ro";

/// The directory tree that a sandbox shares with its guest. It has no state of its own: any
/// process may open it. All methods block for a few system calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    base: PathBuf,
}

impl Tree {
    /// Makes the tree of a sandbox below `root`, absolute. What was entered in `undo` remains to
    /// be undone after an error too.
    ///
    /// Errors: `AlreadyExists`; `Denied`; `Unsupported` before Linux 5.12; `Internal`.
    pub fn create(root: &Path, id: &SandboxId, undo: &dyn UndoSink) -> Result<Self, Error> {
        let tree = Self::at(root, id);
        let base = &tree.base;
        if fs::symlink_metadata(base).is_ok() {
            let message = format!(
                "a shared tree is at {} already; clean the sandbox up that left it",
                base.display()
            );
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        record(undo, base, &Undo::Tree { path: base.clone() })?;
        for path in [base.clone(), tree.writable(), tree.served()] {
            make_directories(&path).map_err(|source| Error::system("make", &path, source))?;
        }
        // Private before it is attached: it must not stay in the group of the mount that it is a
        // part of, else what is bound here would appear a second time underneath.
        bind(base, base, false, Propagation::Private, false)?;
        rustix::mount::mount_change(base, MountPropagationFlags::SHARED)
            .map_err(|source| Error::system("share the mount at", base, source))?;
        bind(
            &tree.writable(),
            &tree.served(),
            true,
            Propagation::Receiving,
            false,
        )?;
        Ok(tree)
    }

    /// The tree that another process made.
    ///
    /// Errors: `NotFound`.
    pub fn open(root: &Path, id: &SandboxId) -> Result<Self, Error> {
        let tree = Self::at(root, id);
        if !is_mount(&tree.base)? {
            let message = format!("there is no shared tree at {}", tree.base.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Ok(tree)
    }

    /// What may be left of a tree whose mounts went with an earlier boot of the host, or of one
    /// that does not exist: good for [`remove`](Self::remove) alone.
    pub fn remains(root: &Path, id: &SandboxId) -> Self {
        Self::at(root, id)
    }

    fn at(root: &Path, id: &SandboxId) -> Self {
        Self::new(root.join("shares").join(id))
    }

    pub(crate) fn new(base: PathBuf) -> Self {
        Self { base }
    }

    /// The tree's directory.
    pub fn path(&self) -> &Path {
        &self.base
    }

    /// The side that is bound into.
    pub(crate) fn writable(&self) -> PathBuf {
        self.base.join(WRITABLE)
    }

    /// The side that the daemon serves.
    pub fn served(&self) -> PathBuf {
        self.base.join(SERVED)
    }

    /// Shares a root file system, with the mounts below it, and returns where the guest has it.
    /// `source` is resolved on the host, symbolic links included.
    ///
    /// Errors: `NotFound`, naming `source`; `Invalid` when it is not a directory; `AlreadyExists`
    /// when the container has one; `Denied`, `Internal`.
    pub fn add_rootfs(
        &self,
        container: &ContainerId,
        source: &Path,
        read_only: bool,
        undo: &dyn UndoSink,
    ) -> Result<PathBuf, Error> {
        let place = open_source(source)?;
        if place.kind != Kind::Directory {
            let message = format!(
                "the root file system {} is not a directory",
                source.display()
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let volume = SharedVolume {
            source,
            read_only,
            recursive: true,
            follows: false,
        };
        self.add(container, ROOTFS, &place, volume, undo)
    }

    /// Shares a directory or a file, and returns where the guest has it. `index` tells the volumes
    /// of a container apart. The source is resolved on the host, symbolic links included.
    ///
    /// Errors: `NotFound`, naming the source; `Unsupported` when it is neither file nor directory;
    /// `AlreadyExists` when `index` is taken; `Denied`, `Internal`.
    pub fn add_volume<'a>(
        &self,
        container: &ContainerId,
        index: usize,
        volume: impl Into<SharedVolume<'a>>,
        undo: &dyn UndoSink,
    ) -> Result<PathBuf, Error> {
        let volume = volume.into();
        let place = open_source(volume.source)?;
        let name = format!("volume-{index}");
        self.add(container, &name, &place, volume, undo)
    }

    fn add(
        &self,
        container: &ContainerId,
        name: &str,
        source: &Source,
        volume: SharedVolume<'_>,
        undo: &dyn UndoSink,
    ) -> Result<PathBuf, Error> {
        let directory = self.writable().join(container);
        if !directory.exists() {
            let tree = self.base.clone();
            let container = container.clone();
            record(undo, &directory, &Undo::Container { tree, container })?;
            make_directories(&directory)
                .map_err(|source| Error::system("make", &directory, source))?;
        }
        let target = directory.join(name);
        if fs::symlink_metadata(&target).is_ok() {
            let message = format!("something is shared at {} already", target.display());
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let entry = Undo::Mount {
            tree: self.base.clone(),
            container: container.clone(),
            name: name.to_owned(),
        };
        record(undo, &target, &entry)?;
        make_placeholder(&target, source.kind)
            .map_err(|source| Error::system("make", &target, source))?;
        bind_place(
            &source.file,
            &source.path,
            &target,
            volume.read_only,
            match volume.follows {
                true => Propagation::Receiving,
                false => Propagation::Private,
            },
            volume.recursive,
        )?;
        Ok(Path::new(GUEST_DIRECTORY).join(container).join(name))
    }

    /// Takes back everything that was added for a container. The sources stay as they are.
    ///
    /// Errors: `Denied`, `Internal`; safe to repeat.
    pub fn remove_container(&self, container: &ContainerId) -> Result<(), Error> {
        self.clear(container.as_ref())?;
        remove_directory(&self.writable().join(container))
    }

    /// Takes back everything. The sources stay as they are. Succeeds when there is nothing.
    ///
    /// Errors: `Denied`, `Internal`; safe to repeat.
    pub fn remove(&self) -> Result<(), Error> {
        for container in names(&self.writable())? {
            self.clear(&container)?;
            remove_directory(&self.writable().join(container))?;
        }
        unmount_all(&self.served())?;
        unmount_all(&self.base)?;
        // Only now are these the directories themselves. Each is removed only if empty.
        for path in [self.served(), self.writable(), self.base.clone()] {
            remove_directory(&path)?;
        }
        Ok(())
    }

    fn clear(&self, container: &Path) -> Result<(), Error> {
        let directory = self.writable().join(container);
        for name in names(&directory)? {
            self.remove_entry(container, &name)?;
        }
        Ok(())
    }

    /// Unmounts one entry on both sides and removes what it was mounted on, if that is empty.
    pub(crate) fn remove_entry(&self, container: &Path, name: &Path) -> Result<(), Error> {
        let path = self.writable().join(container).join(name);
        unmount_all(&path)?;
        unmount_all(&self.served().join(container).join(name))?;
        remove_placeholder(&path)
    }
}

/// A file or directory of the host to be shared, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedVolume<'a> {
    /// The path on the host.
    pub source: &'a Path,
    /// The guest cannot write, also not to what is mounted below; the host sees to it.
    pub read_only: bool,
    /// What is mounted below is shared too.
    pub recursive: bool,
    /// What is mounted below later, or unmounted, is so for the guest too, if the source lies on a
    /// shared mount (mount_namespaces(7)). Nothing goes the other way. What the guest has seen of such
    /// a mount is in use, and the host can only unmount it lazily (`umount -l`).
    pub follows: bool,
}

/// With what is mounted below it now.
impl<'a> From<&'a Volume> for SharedVolume<'a> {
    fn from(volume: &'a Volume) -> Self {
        Self {
            source: &volume.source,
            read_only: volume.read_only,
            recursive: true,
            follows: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

#[derive(Debug)]
struct Source {
    file: File,
    kind: Kind,
    path: PathBuf,
}

fn open_source(path: &Path) -> Result<Source, Error> {
    let file = open_place(path, true).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => {
            let message = format!("{} does not exist and cannot be shared", path.display());
            Error::new(ErrorKind::NotFound, message).with_source(source)
        }
        _ => Error::system("open", path, source),
    })?;
    let metadata = file
        .metadata()
        .map_err(|source| Error::system("look at", path, source))?;
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_file() => Kind::File,
        _ => {
            let message = format!(
                "{} is neither a file nor a directory; only these can be shared with a guest",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
    };
    let path = path.to_owned();
    Ok(Source { file, kind, path })
}

fn bind(
    source: &Path,
    target: &Path,
    read_only: bool,
    propagation: Propagation,
    recursive: bool,
) -> Result<(), Error> {
    let place = open_place(source, false).map_err(|error| Error::system("open", source, error))?;
    bind_place(&place, source, target, read_only, propagation, recursive)
}

/// `source` is where `place` was opened, for messages.
fn bind_place(
    place: &File,
    source: &Path,
    target: &Path,
    read_only: bool,
    propagation: Propagation,
    recursive: bool,
) -> Result<(), Error> {
    let at = open_place(target, false).map_err(|error| Error::system("open", target, error))?;
    let bound = Detached::copy(place, recursive)
        .and_then(|copy| copy.set(read_only, propagation).map(|()| copy))
        .and_then(|copy| copy.attach(&at));
    bound.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            let message = "this kernel cannot bind as needed; Linux 5.12 or newer is";
            Error::new(ErrorKind::Unsupported, message).with_source(error)
        }
        _ => Error::system(&format!("bind {} at", source.display()), target, error),
    })
}

fn make_directories(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn make_placeholder(path: &Path, kind: Kind) -> io::Result<()> {
    match kind {
        Kind::Directory => DirBuilder::new().mode(0o700).create(path),
        Kind::File => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map(drop),
    }
}

/// Removes an empty directory or an empty file on which nothing is mounted, and nothing else.
fn remove_placeholder(path: &Path) -> Result<(), Error> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::system("look at", path, source)),
    };
    if metadata.is_dir() {
        return remove_directory(path);
    }
    if !metadata.is_file() || metadata.len() != 0 || is_mount(path)? {
        let message = format!(
            "{} is not the empty file that was made there; it is left alone",
            path.display()
        );
        return Err(Error::new(ErrorKind::WrongState, message));
    }
    // unlink(2) refuses a mount point of this namespace: nothing can come in between.
    gone(fs::remove_file(path)).map_err(|source| Error::system("remove", path, source))
}

/// Removes a directory if it is empty: rmdir(2) refuses any other, and mount points.
pub(crate) fn remove_directory(path: &Path) -> Result<(), Error> {
    gone(fs::remove_dir(path)).map_err(|source| Error::system("remove", path, source))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The names in a directory; none if it does not exist.
fn names(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::system("read", directory, source);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    entries
        .map(|entry| Ok(PathBuf::from(entry.map_err(failed)?.file_name())))
        .collect()
}
