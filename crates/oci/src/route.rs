//! Where a bind mount of the host leads, by what its source is: shared with the guest, made in the
//! guest, or refused.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::guest::SHM;
use crate::{Error, ErrorKind, HostBind};

/// What the source of a bind mount is on the host, symbolic links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFacts {
    /// What kind of file.
    pub kind: SourceKind,
    /// What it lies on.
    pub filesystem: SourceFilesystem,
}

/// Kinds of files (inode(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A socket.
    Socket,
    /// A named pipe.
    Fifo,
}

/// File systems that make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFilesystem {
    /// Memory.
    Tmpfs,
    /// Huge pages.
    HugePages,
    /// Any other.
    Other,
}

/// What becomes of a bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The host's source is shared with the guest.
    Shared,
    /// The same path of the guest is bound.
    Guest,
    /// A volume in the guest's memory, for all containers of the pod that name it.
    Ephemeral {
        /// Its name within the pod.
        name: PathBuf,
    },
    /// A directory beside the pod's first container, for all containers of the pod that name it.
    Local {
        /// Its name within the pod.
        name: PathBuf,
    },
}

/// The directory in which the kubelet puts volumes that begin empty and end with their pod.
const EMPTY_DIR: &str = "kubernetes.io~empty-dir";

/// Decides for one bind mount. `member`: the container joins the sandbox of another.
///
/// Errors: `Unsupported` for a source that means nothing in another machine, named with what to do.
pub fn route(bind: &HostBind, member: bool, facts: SourceFacts) -> Result<Route, Error> {
    let source = bind.source.as_path();
    let refuse = |what: &str, advice: &str| {
        let message = format!(
            "{} is {what}, which cannot be shared with a guest: {advice}",
            source.display()
        );
        Err(Error::new(ErrorKind::Unsupported, message))
    };
    let in_dev = source.starts_with("/dev") && !source.starts_with(SHM);
    match facts.kind {
        SourceKind::CharDevice if in_dev => return Ok(Route::Guest),
        SourceKind::CharDevice => {
            return refuse(
                "a device of the host",
                "name a device of the guest in linux.devices",
            );
        }
        SourceKind::BlockDevice => {
            return refuse(
                "a block device of the host",
                "mount it on the host and share the directory",
            );
        }
        SourceKind::Socket => {
            return refuse(
                "a socket",
                "who listens on it is on the host; use the network instead",
            );
        }
        SourceKind::Fifo => {
            return refuse(
                "a named pipe",
                "its other end is on the host; use the network or a file instead",
            );
        }
        SourceKind::File | SourceKind::Directory => {}
    }
    if facts.filesystem == SourceFilesystem::HugePages {
        return refuse(
            "on a file system of huge pages",
            "use a directory on another file system",
        );
    }
    if in_dev && facts.kind == SourceKind::Directory {
        return Ok(Route::Guest);
    }
    match empty_dir(source).filter(|_| member) {
        Some(name) if facts.filesystem == SourceFilesystem::Tmpfs => Ok(Route::Ephemeral { name }),
        Some(name) => Ok(Route::Local { name }),
        None => Ok(Route::Shared),
    }
}

fn empty_dir(source: &Path) -> Option<PathBuf> {
    let of_kubelet = source.parent()?.file_name() == Some(OsStr::new(EMPTY_DIR));
    of_kubelet.then(|| source.file_name().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::SourceFilesystem::{HugePages, Other, Tmpfs};
    use super::SourceKind::{BlockDevice, CharDevice, Directory, Fifo, File, Socket};
    use super::*;

    const EMPTY: &str = "/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/data";

    fn routed(
        source: &str,
        member: bool,
        kind: SourceKind,
        filesystem: SourceFilesystem,
    ) -> Result<Route, Error> {
        let bind = HostBind {
            index: 0,
            source: source.into(),
            destination: "/a".into(),
            read_only: false,
            recursive: true,
            follows: false,
        };
        route(&bind, member, SourceFacts { kind, filesystem })
    }

    #[test]
    fn every_kind_of_source_has_a_route() {
        let name = PathBuf::from("data");
        let rows = [
            ("/srv", false, Directory, Other, Route::Shared),
            ("/srv/f", true, File, Tmpfs, Route::Shared),
            ("/dev/shm", false, Directory, Tmpfs, Route::Shared),
            ("/dev/shm/x", false, Directory, Tmpfs, Route::Shared),
            ("/dev/fuse", false, CharDevice, Other, Route::Guest),
            ("/dev/pts", false, Directory, Other, Route::Guest),
            ("/dev/notes", false, File, Other, Route::Shared),
            (EMPTY, false, Directory, Tmpfs, Route::Shared),
            (
                EMPTY,
                true,
                Directory,
                Tmpfs,
                Route::Ephemeral { name: name.clone() },
            ),
            (EMPTY, true, Directory, Other, Route::Local { name }),
        ];
        for (source, member, kind, filesystem, expected) in rows {
            let got = routed(source, member, kind, filesystem).unwrap();
            assert_eq!(got, expected, "{source}");
        }
    }

    #[test]
    fn what_means_nothing_in_another_machine_is_refused_by_name() {
        for (source, kind, filesystem) in [
            ("/run/docker.sock", Socket, Tmpfs),
            ("/dev/log", Socket, Other),
            ("/run/pipe", Fifo, Tmpfs),
            ("/dev/sda", BlockDevice, Other),
            ("/srv/null", CharDevice, Other),
            ("/dev/hugepages", Directory, HugePages),
            ("/mnt/huge", Directory, HugePages),
        ] {
            let error = routed(source, false, kind, filesystem).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(source), "{error}");
        }
    }
}
