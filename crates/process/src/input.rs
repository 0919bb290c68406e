//! What a process reads, without a thread that waits for it: such a thread would hold a terminal or a
//! pipe open after the process has ended, and whoever has the other end would wait for its close.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::OFlags;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, ReadBuf};

use crate::sys;

/// The reading end of a stream, of whatever kind it is.
#[derive(Debug)]
pub struct Input(Source);

#[derive(Debug)]
enum Source {
    /// A pipe or a terminal, waited for by events.
    Polled(AsyncFd<OwnedFd>),
    /// What is always ready, and what cannot be opened a second time: read by a thread.
    Blocking(tokio::fs::File),
}

impl Input {
    /// Takes a stream over. Its description, which others may share, stays as it is: a pipe or a
    /// terminal is opened once more by its name in `/proc`, for reads that do not block.
    pub fn new(stream: OwnedFd) -> Self {
        let stream = File::from(stream);
        let polled = open_again(&stream).and_then(|again| {
            let again = again.map(|again| sys::watch_readable(again.into()));
            again.transpose()
        });
        Self(match polled {
            Ok(Some(polled)) => Source::Polled(polled),
            Ok(None) => Source::Blocking(tokio::fs::File::from_std(stream)),
            Err(error) => {
                tracing::debug!(%error, "input is read by a thread");
                Source::Blocking(tokio::fs::File::from_std(stream))
            }
        })
    }
}

fn open_again(stream: &File) -> io::Result<Option<File>> {
    let kind = stream.metadata()?.file_type();
    let is_terminal = kind.is_char_device() && rustix::termios::isatty(stream);
    if !kind.is_fifo() && !is_terminal {
        return Ok(None);
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let name = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let again = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(name);
    again.map(Some)
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = match &mut self.0 {
            Source::Blocking(file) => return Pin::new(file).poll_read(task, into),
            Source::Polled(polled) => polled,
        };
        loop {
            let mut ready = ready!(polled.poll_read_ready(task))?;
            // What is ready stays so until a read finds nothing: a terminal gives one line at a time,
            // however many it has.
            let read = ready.try_io(|stream| {
                rustix::io::read(stream.get_ref(), into.initialize_unfilled())
                    .map_err(io::Error::from)
            });
            match read {
                Ok(Ok(length)) => {
                    into.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                // Somebody else read it.
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_pipe_is_read_to_its_end_and_closed_when_it_is_dropped() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut input = Input::new(reader.into());
        assert!(matches!(input.0, Source::Polled(_)));
        writer.write_all(b"hello").unwrap();
        let mut some = [0; 5];
        input.read_exact(&mut some).await.unwrap();
        assert_eq!(&some, b"hello");
        // Nothing of it waits in a thread: the writer notices.
        drop(input);
        let left = writer.write_all(b"more").unwrap_err();
        assert_eq!(left.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn the_description_stays_blocking() {
        let (reader, writer) = io::pipe().unwrap();
        let other = reader.try_clone().unwrap();
        let mut input = Input::new(reader.into());
        drop(writer);
        assert_eq!(input.read(&mut [0; 1]).await.unwrap(), 0);
        let flags = rustix::fs::fcntl_getfl(&other).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK));
    }

    #[tokio::test]
    async fn a_terminal_that_has_two_lines_gives_both() {
        let controller = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
        rustix::pty::grantpt(&controller).unwrap();
        rustix::pty::unlockpt(&controller).unwrap();
        let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap();
        let terminal = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(name.to_str().unwrap())
            .unwrap();
        rustix::io::write(&controller, b"one\ntwo\n").unwrap();
        let mut input = Input::new(terminal.into());
        let mut text = [0; 8];
        input.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"one\ntwo\n");
    }

    #[tokio::test]
    async fn a_file_is_read_as_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        let mut input = Input::new(file.into());
        let mut text = String::new();
        input.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "text");
    }
}
