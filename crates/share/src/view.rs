//! What a process that stands for a container shows of the file system: the container's files
//! instead of the host's. Tools of the host enter the mount namespace of such a process and take
//! what they find there for the container's (`podman cp`, `nsenter --mount`).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use crate::mount::{Detached, Propagation, open_place};
use crate::{Error, sys};

/// A directory that every host has, to put an empty file system on for a moment.
const SOMEWHERE: &str = "/proc";

/// A container's files as they are on the host. What the guest mounts for itself is not among them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// The root file system; there is nothing to see when absent.
    pub root: Option<PathBuf>,
    /// Writes to the root file system are refused.
    pub read_only: bool,
    /// What is mounted in it, in this order. What has no place to be mounted at is left out.
    pub volumes: Vec<Volume>,
}

/// A directory or file of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The path on the host.
    pub source: PathBuf,
    /// The path in the container.
    pub destination: PathBuf,
    /// Writes are refused.
    pub read_only: bool,
    /// What is mounted below the source is seen too.
    pub recursive: bool,
}

impl View {
    /// Gives the calling thread a mount namespace of its own with these files and nothing of the
    /// host's. There is no way back: let a thread do so that needs no files any more. `/proc/PID/ns`
    /// and `/proc/PID/root` of a process are those of its first thread (proc(5)).
    ///
    /// Mounts go with the namespace, which ends with its last thread. Blocks for some system calls.
    ///
    /// Errors: `NotFound` for a root or volume that is not there; `Denied`; `Internal`. The thread
    /// may be in a namespace of its own then that still shows the host's files.
    pub fn enter(&self) -> Result<(), Error> {
        let slash = Path::new("/");
        sys::unshare_mounts()
            .map_err(|source| Error::system("leave the mount namespace of", slash, source))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(slash, private)
            .map_err(|source| Error::system("detach the mounts below", slash, source))?;
        let volumes = self.volumes.iter().map(|volume| {
            let copied = copy(&volume.source, volume.read_only, volume.recursive);
            copied.map(|copied| (volume, copied))
        });
        let volumes: Vec<_> = volumes.collect::<Result<_, _>>()?;
        let root = match &self.root {
            Some(root) => attach_root(root, self.read_only)?,
            None => make_empty()?,
        };
        change_root(&root)
            .map_err(|source| Error::system("change the root directory to", slash, source))?;
        for (volume, copied) in volumes {
            attach_volume(&volume.destination, copied)?;
        }
        Ok(())
    }
}

fn copy(source: &Path, read_only: bool, recursive: bool) -> Result<Detached, Error> {
    let failed = |error| Error::system("show", source, error);
    let place = open_place(source, true).map_err(failed)?;
    let copied = Detached::copy(&place, recursive).map_err(failed)?;
    copied
        .set(read_only, Propagation::Private)
        .map_err(failed)?;
    Ok(copied)
}

/// Binds a root file system onto itself, since a root has to be a mount, and opens it.
fn attach_root(root: &Path, read_only: bool) -> Result<File, Error> {
    let failed = |error| Error::system("show", root, error);
    let place = open_place(root, true).map_err(failed)?;
    let copied = Detached::copy(&place, true).map_err(failed)?;
    copied
        .set(read_only, Propagation::Private)
        .map_err(failed)?;
    copied.attach(&place).map_err(failed)?;
    open_place(root, true).map_err(failed)
}

/// An empty file system that nobody can write to.
fn make_empty() -> Result<File, Error> {
    let place = Path::new(SOMEWHERE);
    let failed = |error| Error::system("mount an empty file system on", place, error);
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("none", place, "tmpfs", flags, c"size=4k,mode=0755")
        .map_err(|error| failed(error.into()))?;
    open_place(place, true).map_err(failed)
}

/// Makes `root` the root, and lets go of what was it.
fn change_root(root: &File) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    // With one directory for both, the old root comes to lie on the new (pivot_root(2)).
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

fn attach_volume(destination: &Path, copied: Detached) -> Result<(), Error> {
    let failed = |error| Error::system("show the volume at", destination, error);
    match inside(destination) {
        Ok(place) => copied.attach(&place).map_err(failed),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

/// A place in the root file system. Whatever symbolic links a container has made, it is in there.
fn inside(path: &Path) -> Result<File, Errno> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let place: OwnedFd = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?;
    Ok(place.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What `look` sees on a thread that has the view.
    fn seen<T: Send + 'static>(view: View, look: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::spawn(move || {
            view.enter().unwrap();
            look()
        });
        thread.join().unwrap()
    }

    #[test]
    fn a_container_is_all_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let (root, data) = (directory.path().join("root"), directory.path().join("data"));
        for path in [&root.join("etc"), &root.join("data"), &data] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(root.join("etc/name"), "container").unwrap();
        fs::write(data.join("there"), "volume").unwrap();
        let volume = |destination: &str, read_only| Volume {
            source: data.clone(),
            destination: destination.into(),
            read_only,
            recursive: true,
        };
        let view = View {
            root: Some(root.clone()),
            read_only: false,
            volumes: vec![volume("/data", true), volume("/nowhere", false)],
        };
        let outside = root.clone();
        let texts = seen(view, move || {
            assert!(fs::write("/data/new", "").is_err(), "a volume is read-only");
            assert!(!outside.exists(), "the host's files are seen");
            fs::write("/written", "from inside").unwrap();
            ["/etc/name", "/data/there"].map(|path| fs::read_to_string(path).unwrap())
        });
        assert_eq!(texts, ["container", "volume"]);
        assert_eq!(
            fs::read_to_string(root.join("written")).unwrap(),
            "from inside"
        );
        assert!(fs::read_dir(root.join("data")).unwrap().next().is_none());
    }

    #[test]
    fn links_lead_to_the_container_and_its_root_may_be_read_only() {
        let directory = tempfile::tempdir().unwrap();
        let (root, data) = (directory.path().join("root"), directory.path().join("data"));
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir(&data).unwrap();
        fs::write(data.join("there"), "volume").unwrap();
        std::os::unix::fs::symlink("/etc", root.join("data")).unwrap();
        let view = View {
            root: Some(root),
            read_only: true,
            volumes: vec![Volume {
                source: data,
                destination: "/data".into(),
                read_only: false,
                recursive: false,
            }],
        };
        let text = seen(view, || {
            assert!(fs::write("/new", "").is_err(), "the root is read-only");
            fs::read_to_string("/etc/there").unwrap()
        });
        assert_eq!(text, "volume");
    }

    #[test]
    fn without_a_root_there_is_nothing() {
        let entries = seen(View::default(), || {
            assert!(fs::write("/file", "").is_err());
            fs::read_dir("/").unwrap().count()
        });
        assert_eq!(entries, 0);
    }
}
