//! Descriptors of others that the executor watches.

use std::os::fd::OwnedFd;
use std::{fmt, io};

use tokio::io::unix::AsyncFd;

use crate::{Error, ErrorKind, sys};

/// A descriptor that is waited for until it is readable. No thread waits, and nothing is polled.
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Has the current tokio runtime watch a descriptor, which does not block.
    ///
    /// Errors: `Internal` for one that cannot be watched, such as a plain file.
    pub fn watch(descriptor: OwnedFd) -> Result<Self, Error> {
        sys::watch_readable(descriptor).map(Self).map_err(failed)
    }

    /// Waits until there is something to read. The caller takes all of it then: the next wait is for
    /// what comes later, and ends now and then for nothing. Safe to drop.
    ///
    /// Errors: `Internal` when the runtime ends.
    pub async fn wait(&self) -> Result<(), Error> {
        let mut ready = self.0.readable().await.map_err(failed)?;
        // Before anything is taken, so that nothing can come unseen between.
        ready.clear_ready();
        Ok(())
    }
}

fn failed(source: io::Error) -> Error {
    Error::system("cannot watch a descriptor", source).with_kind(ErrorKind::Internal)
}

impl fmt::Debug for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readable")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn what_comes_is_told_once() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let readable = Readable::watch(ours.try_clone().unwrap().into()).unwrap();
        theirs.write_all(b"news").unwrap();
        readable.wait().await.unwrap();
        assert_eq!((&ours).read(&mut [0; 8]).unwrap(), 4);
        let again = tokio::time::timeout(std::time::Duration::ZERO, readable.wait());
        assert!(again.await.is_err(), "there was nothing more");
        theirs.write_all(b"more").unwrap();
        readable.wait().await.unwrap();
    }
}
