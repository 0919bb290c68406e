//! Small files of the host that a bundle binds into its container.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

/// More than any such file has; what is larger is something else.
pub(super) const MOST_BYTES: u64 = 64 * 1024;

/// The file of the host that the container finds at `destination`: that of the last bind mount on it.
pub(super) fn source(spec: &Spec, destination: &str) -> Option<PathBuf> {
    let mounts = spec.mounts().iter().flatten();
    let mut mounts = mounts.filter(|mount| mount.destination() == Path::new(destination));
    let mount = mounts.next_back()?;
    mount.source().clone().filter(|_| is_bind(mount))
}

fn is_bind(mount: &Mount) -> bool {
    let mut options = mount.options().iter().flatten();
    mount.typ().as_deref() == Some("bind")
        || options.any(|option| matches!(option.as_str(), "bind" | "rbind"))
}

/// All of a regular file of at most [`MOST_BYTES`]; never waits for a writer of something else.
pub(super) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let opened = File::options()
        .read(true)
        .custom_flags(nonblocking.cast_signed())
        .open(file)?;
    if !opened.metadata()?.is_file() {
        let message = "it is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut content = Vec::new();
    opened.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    match content.len() as u64 > MOST_BYTES {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it has more than {MOST_BYTES} bytes"),
        )),
        false => Ok(content),
    }
}
