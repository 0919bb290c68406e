//! The effects of the file store, one method each, so that tests can end the world between any two.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

/// What changes the file system. Names are relative to the directory `at`, absolute ones are not.
pub(super) trait Disk: Send + Sync + Debug {
    /// Makes a directory of our own.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes an empty file, or empties the one that is there.
    fn create(&self, at: BorrowedFd<'_>, name: &Path) -> io::Result<File>;
    /// Writes at the end of what was written.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// Returns when a file's content, or a directory's names, would survive the host.
    fn sync(&self, what: BorrowedFd<'_>) -> io::Result<()>;
    /// Gives a file another name in its directory, which may be that of one that goes.
    fn rename(&self, at: BorrowedFd<'_>, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, at: BorrowedFd<'_>, name: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
}

/// The file system itself: one system call for each method, nearly always.
#[derive(Debug)]
pub(super) struct Kernel;

impl Disk for Kernel {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::mkdir(path, Mode::RWXU)?)
    }

    fn create(&self, at: BorrowedFd<'_>, name: &Path) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = rustix::fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(file.into())
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, what: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::fs::fsync(what)?)
    }

    fn rename(&self, at: BorrowedFd<'_>, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat(at, from, at, to)?)
    }

    fn remove(&self, at: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(at, name, AtFlags::empty())?)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::rmdir(path)?)
    }
}

impl dyn Disk + '_ {
    /// Replaces the file `name` by way of `temporary`, so that a crash at any point leaves the old
    /// content or the new one. The caller sees to it that nobody else does so at the same time.
    pub(super) fn replace(
        &self,
        at: BorrowedFd<'_>,
        name: &Path,
        temporary: &Path,
        content: &[u8],
    ) -> io::Result<()> {
        let result = self.write_and_rename(at, name, temporary, content);
        if result.is_err() {
            // The first error counts; a leftover is overwritten by the next replacement.
            let _ignored = self.remove(at, temporary);
        }
        result
    }

    /// Two syncs: of the content before it gets the name, and of the name.
    fn write_and_rename(
        &self,
        at: BorrowedFd<'_>,
        name: &Path,
        temporary: &Path,
        content: &[u8],
    ) -> io::Result<()> {
        let file = self.create(at, temporary)?;
        self.write(&file, content)?;
        self.sync(file.as_fd())?;
        self.rename(at, temporary, name)?;
        self.sync(at)
    }

    /// As [`remove`](Disk::remove), of a file that may not be there.
    pub(super) fn remove_if_there(&self, at: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        if_there(self.remove(at, name)).map(|_was_there| ())
    }
}

/// Whether there was something, unless the answer is another error than that there was not.
pub(super) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
