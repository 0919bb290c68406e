//! Making a network namespace.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use virtcontainers_types::UndoSink;

use crate::thread::apart;
use crate::undo::{Undo, record};
use crate::{DIRECTORY, Error, ErrorKind, Namespace, directory, sys};

/// The calling thread's network namespace (proc(5)).
const OURS: &str = "/proc/thread-self/ns/net";

/// Makes the network namespace `name` in [`DIRECTORY`], with its loopback interface up. Blocks for
/// some ten milliseconds at most.
///
/// What was entered in `undo` remains to be undone after an error too.
///
/// Errors: `Invalid` for a name that is no file name; `AlreadyExists` when it is taken; `Denied`
/// when the process may not; `Unsupported` before Linux 5.8; `Internal`.
pub fn create_namespace(name: &str, undo: &dyn UndoSink) -> Result<Namespace, Error> {
    create_namespace_in(Path::new(DIRECTORY), name, undo)
}

/// As [`create_namespace`], with the name in another directory.
pub fn create_namespace_in(
    directory: &Path,
    name: &str,
    undo: &dyn UndoSink,
) -> Result<Namespace, Error> {
    if name.is_empty() || name.len() > 255 || name.contains(['/', '\0']) || name.starts_with('.') {
        let message = format!("{name:?} cannot be the name of a network namespace");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let path = directory.join(name);
    let _held = directory::prepare(directory, undo)?;
    if std::fs::symlink_metadata(&path).is_ok() {
        let message = format!(
            "a network namespace is at {} already; if nobody uses it, remove it with `ip netns \
             delete {name}`",
            path.display()
        );
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    record(undo, &path, &Undo::Namespace { path: path.clone() })?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o000)
        .open(&path)
        .map_err(|source| Error::system("make", &path, source))?;
    // A thread of its own, which ends in the new namespace: no other work ever runs there.
    let namespace = apart("vc-netns", || make(&path))?;
    tracing::debug!(path = %path.display(), "made a network namespace");
    Ok(Namespace::new(path, namespace.into()))
}

/// Leaves the calling thread in a new namespace, bound at `path`.
fn make(path: &Path) -> Result<File, Error> {
    sys::unshare_network()
        .map_err(|source| Error::system("make the network namespace", path, source))?;
    sys::loopback_up()
        .map_err(|source| Error::system("take up the loopback interface of", path, source))?;
    rustix::mount::mount_bind(OURS, path)
        .map_err(|source| Error::system("bind the network namespace at", path, source))?;
    File::open(OURS).map_err(|source| Error::system("open the network namespace", path, source))
}
