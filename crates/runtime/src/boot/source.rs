//! What lies on the host at the source of a bind mount. Nothing is changed.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::statfs;
use virtcontainers_oci::{
    HostBind, Route, SharedMemory, SourceFacts, SourceFilesystem, SourceKind, route, shared_memory,
};
use virtcontainers_types::{Mebibytes, SandboxConfig};

use crate::error::{Context, Error, ErrorKind};

/// `TMPFS_MAGIC` and `HUGETLBFS_MAGIC` of `linux/magic.h`.
const TMPFS: u64 = 0x0102_1994;
const HUGE_PAGES: u64 = 0x9584_58f6;

/// Where a bind mount leads. `member`: its container joins the sandbox of another.
///
/// Errors: `NotFound` for a source that does not exist; those of [`route`].
pub(crate) fn route_of(bind: &HostBind, member: bool) -> Result<Route, Error> {
    let facts = look_at(&bind.source).map_err(|error| {
        let message = format!(
            "volume {} does not exist on the host: create it, or correct the path",
            bind.source.display()
        );
        Error::new(ErrorKind::NotFound, message).because(error)
    })?;
    route(bind, member, facts).during(|| format!("cannot mount at {}", bind.destination.display()))
}

fn look_at(path: &Path) -> io::Result<SourceFacts> {
    let kind = kind(std::fs::metadata(path)?.file_type());
    let filesystem = match statfs(path)?.f_type.cast_unsigned() {
        TMPFS => SourceFilesystem::Tmpfs,
        HUGE_PAGES => SourceFilesystem::HugePages,
        _ => SourceFilesystem::Other,
    };
    Ok(SourceFacts { kind, filesystem })
}

fn kind(kind: FileType) -> SourceKind {
    match () {
        () if kind.is_dir() => SourceKind::Directory,
        () if kind.is_char_device() => SourceKind::CharDevice,
        () if kind.is_block_device() => SourceKind::BlockDevice,
        () if kind.is_socket() => SourceKind::Socket,
        () if kind.is_fifo() => SourceKind::Fifo,
        () => SourceKind::File,
    }
}

/// How many bytes of shared memory the containers of a sandbox have in common, as its first one
/// asks for it: never more than the machine has. Nothing when they have none.
///
/// Errors: `NotFound` for a file system that it is to be as large as, and that is not there.
pub(crate) fn shared_memory_of(config: &SandboxConfig) -> Result<Option<u64>, Error> {
    let first = config.containers.first();
    let wish = first.and_then(|first| shared_memory(&first.spec));
    wish.map(|wish| shared_memory_size(&wish, config.memory))
        .transpose()
}

fn shared_memory_size(wish: &SharedMemory, machine: Mebibytes) -> Result<u64, Error> {
    let most = machine.bytes();
    let size = match wish {
        SharedMemory::Bytes(bytes) => *bytes,
        SharedMemory::Percent(part) => most / 100 * u64::from(*part),
        SharedMemory::SameAs(path) => size_of(path).map_err(|error| {
            let message = format!(
                "cannot tell how large the shared memory is to be: {} cannot be used on the host; \
                 correct the source of the mount at /dev/shm",
                path.display()
            );
            Error::new(ErrorKind::NotFound, message).because(error)
        })?,
    };
    Ok(size.min(most))
}

fn size_of(path: &Path) -> io::Result<u64> {
    let told = statfs(path)?;
    let block = u64::try_from(told.f_bsize).unwrap_or(0);
    Ok(told.f_blocks.saturating_mul(block))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn sources_are_told_apart_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        symlink("file", path("link")).unwrap();
        let listener = UnixListener::bind(path("socket")).unwrap();
        let rows = [
            (folder.path().to_owned(), SourceKind::Directory),
            (path("file"), SourceKind::File),
            (path("link"), SourceKind::File),
            (path("socket"), SourceKind::Socket),
            ("/dev/null".into(), SourceKind::CharDevice),
        ];
        for (path, kind) in rows {
            assert_eq!(look_at(&path).unwrap().kind, kind, "{}", path.display());
        }
        drop(listener);
        assert!(look_at(&path("missing")).is_err());
    }

    #[test]
    fn shared_memory_is_never_more_than_the_machines() {
        let machine = Mebibytes(256);
        let rows = [
            (SharedMemory::Bytes(4096), 4096),
            (SharedMemory::Bytes(1 << 40), 256 << 20),
            (SharedMemory::Percent(50), (256 << 20) / 100 * 50),
        ];
        for (wish, expected) in rows {
            assert_eq!(shared_memory_size(&wish, machine).unwrap(), expected);
        }
        let same = SharedMemory::SameAs("/".into());
        assert!(shared_memory_size(&same, machine).unwrap() > 0);
        let missing = SharedMemory::SameAs("/nonexistent/shm".into());
        let error = shared_memory_size(&missing, machine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
