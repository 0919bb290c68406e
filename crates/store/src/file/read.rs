//! Reading files that are replaced and never changed, with as few system calls as that allows.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Holds the first line of nearly every record, and the whole of small ones.
const START: usize = 4 * 1024;

fn open(at: BorrowedFd<'_>, name: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?.into())
}

fn length(file: &File) -> io::Result<u64> {
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or_default())
}

/// All bytes of a file.
pub(super) fn whole(at: BorrowedFd<'_>, name: &Path) -> io::Result<Vec<u8>> {
    let file = open(at, name)?;
    let length = length(&file)?;
    read_up_to(file, length)
}

fn read_up_to(file: File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    // The limit saves the call that would find the end.
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file of which only the beginning was read.
#[derive(Debug)]
pub(super) struct Start {
    file: File,
    /// The beginning, or all of it.
    pub(super) bytes: Vec<u8>,
    /// How long the file is.
    pub(super) length: u64,
}

impl Start {
    pub(super) fn read(at: BorrowedFd<'_>, name: &Path) -> io::Result<Self> {
        let mut file = open(at, name)?;
        let mut bytes = vec![0; START];
        let filled = file.read(&mut bytes)?;
        bytes.truncate(filled);
        // Less than was asked for is all there is.
        let length = match filled {
            START => length(&file)?,
            _ => filled as u64,
        };
        Ok(Self {
            file,
            bytes,
            length,
        })
    }

    /// What was read, and the rest of the file.
    pub(super) fn into_whole(self) -> io::Result<Vec<u8>> {
        let mut bytes = self.bytes;
        let rest = self.length.saturating_sub(bytes.len() as u64);
        bytes.append(&mut read_up_to(self.file, rest)?);
        Ok(bytes)
    }
}
