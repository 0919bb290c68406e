//! Files whose content was promised by a digest: what is checked is what is used.
//!
//! A file that is checked under its name and opened again under the same name may be another one by
//! then. So it is opened once, and copied while its digest is computed, into a folder that only we
//! can write. The copy is named by the digest; it is what boots, now and when the sandbox is started
//! again. Copies are a cache: equal content has one, a new check writes it anew, and the folder may
//! be emptied while no sandbox that uses it is to be started again.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use sha2::{Digest, Sha512};
use virtcontainers_oci::Asset;
use virtcontainers_runtime::ErrorKind;

use crate::Error;
use crate::config::cache_directory;

const BLOCK: usize = 1 << 16;

/// Where copies are.
pub(crate) fn folder() -> Option<PathBuf> {
    Some(cache_directory()?.join("verified"))
}

/// The file to use for `asset`: a copy in `folder` with the promised content, or the file itself
/// when no digest was given.
///
/// Errors: `NotFound` for a missing file, or without a folder; `Denied` when its digest is another,
/// and when the folder is not ours alone; `Invalid` for one that is empty or no regular file.
pub(crate) fn file(asset: &Asset, folder: Option<&Path>) -> Result<PathBuf, Error> {
    match (&asset.sha512, folder) {
        (None, _) => Ok(asset.path.clone()),
        (Some(digest), Some(folder)) => copy(&asset.path, digest, folder),
        (Some(_), None) => Err(Error::new(
            ErrorKind::NotFound,
            "there is no folder for checked files: set HOME or XDG_CACHE_HOME",
        )),
    }
}

/// Checks the digest of a program, if one was given. It is started by its path later, since a program
/// finds its other files beside it: whoever can write there can exchange it in between.
pub(crate) fn program(asset: &Asset) -> Result<(), Error> {
    match &asset.sha512 {
        None => Ok(()),
        Some(digest) => transfer(&asset.path, digest, &mut std::io::sink()),
    }
}

fn copy(source: &Path, digest: &str, folder: &Path) -> Result<PathBuf, Error> {
    prepare(folder)?;
    let (target, part) = (folder.join(digest), folder.join(format!("{digest}.part")));
    let mut file = lock_part(&part).map_err(|error| failed("write", &part, error))?;
    let copied = transfer(source, digest, &mut file).and_then(|()| {
        std::fs::rename(&part, &target).map_err(|error| failed("write", &target, error))
    });
    if copied.is_err() {
        // Under the lock, so it is ours; what cannot be removed is written over next time.
        std::fs::remove_file(&part).ok();
    }
    copied.map(|()| target)
}

/// The folder for copies, which nobody else can write.
fn prepare(folder: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed("make", folder, error))?;
    let metadata =
        std::fs::symlink_metadata(folder).map_err(|error| failed("read", folder, error))?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if ours && metadata.is_dir() && metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    let message = format!(
        "{} is not ours alone: remove it, or give its directory to this user with mode 0700",
        folder.display()
    );
    Err(Error::new(ErrorKind::Denied, message))
}

/// Opens the unfinished copy and waits for whoever makes the same one. A copy that somebody did not
/// finish is written over.
fn lock_part(part: &Path) -> std::io::Result<File> {
    loop {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(part, flags, Mode::from_raw_mode(0o600))?);
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        // The holder before us gave the file its final name, or removed it.
        match std::fs::symlink_metadata(part) {
            Ok(now) if now.ino() == file.metadata()?.ino() => {
                file.set_len(0)?;
                return Ok(file);
            }
            Ok(_) => {}
            Err(error) if error.kind() == IoKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes the content of `source` to `to`, and fails unless it has the digest.
fn transfer(source: &Path, digest: &str, to: &mut dyn Write) -> Result<(), Error> {
    // NONBLOCK: it might be a FIFO.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut file = rustix::fs::open(source, flags, Mode::empty())
        .map(File::from)
        .map_err(|error| failed("read", source, error.into()))?;
    let metadata = file
        .metadata()
        .map_err(|error| failed("read", source, error))?;
    if !metadata.is_file() {
        let message = format!("{} is not a regular file", source.display());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let mut hasher = Sha512::new();
    let mut block = vec![0; BLOCK];
    let mut length = 0;
    loop {
        let read = match file.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == IoKind::Interrupted => continue,
            Err(error) => return Err(failed("read", source, error)),
        };
        hasher.update(&block[..read]);
        to.write_all(&block[..read])
            .map_err(|error| failed("copy", source, error))?;
        length += read;
    }
    if length == 0 {
        let message = format!(
            "{} is empty, so that its digest says nothing",
            source.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let found = hexadecimal(&hasher.finalize());
    if found == digest {
        return Ok(());
    }
    let message = format!(
        "{} has the SHA-512 digest {found}, and {digest} was promised: correct the annotation, or \
         find out who changed the file",
        source.display()
    );
    Err(Error::new(ErrorKind::Denied, message))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn failed(verb: &str, path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        IoKind::NotFound | IoKind::NotADirectory => ErrorKind::NotFound,
        IoKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, format!("cannot {verb} {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new(content: &[u8]) -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            std::fs::write(place.source(), content).unwrap();
            place
        }

        fn source(&self) -> PathBuf {
            self.0.path().join("kernel")
        }

        fn folder(&self) -> PathBuf {
            self.0.path().join("cache/verified")
        }

        fn copy(&self, digest: &str) -> Result<PathBuf, Error> {
            copy(&self.source(), digest, &self.folder())
        }

        fn copies(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.folder()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect()
        }
    }

    fn digest(content: &[u8]) -> String {
        hexadecimal(&Sha512::digest(content))
    }

    #[test]
    fn a_known_digest() {
        // FIPS 180-4, example of SHA-512 for "abc".
        let expected = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                        2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert_eq!(digest(b"abc"), expected);
    }

    #[test]
    fn what_was_checked_stays_what_is_used() {
        let content = b"kernel".repeat(BLOCK);
        let place = Place::new(&content);
        let used = place.copy(&digest(&content)).unwrap();
        std::fs::write(place.source(), "another kernel").unwrap();
        assert!(std::fs::read(&used).unwrap() == content);
        let error = place.copy(&digest(&content)).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Denied,
            "the file is another one now"
        );
        assert_eq!(place.copies(), [digest(&content)]);
    }

    #[test]
    fn a_spoilt_or_unfinished_copy_is_written_anew() {
        let place = Place::new(b"kernel");
        let used = place.copy(&digest(b"kernel")).unwrap();
        std::fs::write(&used, "spoilt").unwrap();
        std::fs::write(used.with_extension("part"), "longer than the kernel").unwrap();
        assert_eq!(place.copy(&digest(b"kernel")).unwrap(), used);
        assert_eq!(std::fs::read(&used).unwrap(), b"kernel");
        assert_eq!(place.copies().len(), 1);
    }

    #[test]
    fn another_digest_is_denied_and_leaves_nothing() {
        let place = Place::new(b"kernel");
        let error = place.copy(&digest(b"other")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        for part in [digest(b"kernel"), digest(b"other")] {
            assert!(error.to_string().contains(&part), "{error}");
        }
        assert_eq!(place.copies(), [""; 0]);
    }

    #[test]
    fn what_is_no_file_with_content() {
        let place = Place::new(b"");
        assert_eq!(
            place.copy(&digest(b"")).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        std::fs::remove_file(place.source()).unwrap();
        assert_eq!(
            place.copy(&digest(b"")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        rustix::fs::mkfifoat(rustix::fs::CWD, place.source(), Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(
            place.copy(&digest(b"")).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let place = Place::new(b"kernel");
        std::fs::create_dir_all(place.folder()).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(place.folder(), open).unwrap();
        let error = place.copy(&digest(b"kernel")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("not ours alone"), "{error}");
    }

    #[test]
    fn copies_at_the_same_time() {
        let place = Place::new(&b"kernel".repeat(BLOCK));
        let digest = digest(&b"kernel".repeat(BLOCK));
        std::thread::scope(|scope| {
            let copies = [(); 8].map(|()| scope.spawn(|| place.copy(&digest)));
            for copy in copies {
                let used = copy.join().unwrap().unwrap();
                assert_eq!(std::fs::metadata(used).unwrap().len(), 6 * BLOCK as u64);
            }
        });
        assert_eq!(place.copies().len(), 1);
    }

    #[test]
    fn a_program_is_checked_in_its_place() {
        let place = Place::new(b"program");
        let asset = |sha512| Asset {
            path: place.source(),
            sha512,
        };
        assert!(program(&asset(None)).is_ok());
        assert!(program(&asset(Some(digest(b"program")))).is_ok());
        let error = program(&asset(Some(digest(b"other")))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
}
