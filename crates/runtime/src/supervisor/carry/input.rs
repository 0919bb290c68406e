//! What a process reads, without a thread that waits for it: such a thread would hold a terminal or a
//! pipe open after the process has ended, and whoever has the other end would wait for its close.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;

/// The reading end of a stream.
#[derive(Debug)]
pub(super) enum Input {
    /// A pipe or a terminal, waited for by events.
    Polled(pipe::Receiver),
    /// What is always ready, and what cannot be opened a second time: read by a thread.
    Blocking(tokio::fs::File),
}

impl Input {
    /// Takes a stream over. Its description, which others may share, stays as it is: a pipe or a
    /// terminal is opened once more by its name in `/proc`, for reads that do not block.
    pub(super) fn new(stream: OwnedFd) -> Self {
        let stream = File::from(stream);
        // It is no more than a name for a descriptor that can be polled: a terminal does as well.
        let polled = open_again(&stream)
            .and_then(|again| again.map(pipe::Receiver::from_file_unchecked).transpose());
        match polled {
            Ok(Some(polled)) => Self::Polled(polled),
            Ok(None) => Self::Blocking(tokio::fs::File::from_std(stream)),
            Err(error) => {
                tracing::debug!(%error, "input is read by a thread");
                Self::Blocking(tokio::fs::File::from_std(stream))
            }
        }
    }
}

fn open_again(stream: &File) -> io::Result<Option<File>> {
    let kind = stream.metadata()?.file_type();
    let is_terminal = kind.is_char_device() && rustix::termios::isatty(stream);
    if !kind.is_fifo() && !is_terminal {
        return Ok(None);
    }
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let name = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let again = OpenOptions::new().read(true).custom_flags(flags).open(name);
    again.map(Some)
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Polled(receiver) => Pin::new(receiver).poll_read(task, into),
            Self::Blocking(file) => Pin::new(file).poll_read(task, into),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_pipe_is_read_to_its_end_and_closed_when_it_is_dropped() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut input = Input::new(reader.into());
        assert!(matches!(input, Input::Polled(_)));
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
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    }

    #[tokio::test]
    async fn a_file_is_read_as_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut input = Input::new(file.into());
        let mut text = String::new();
        input.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "text");
    }
}
