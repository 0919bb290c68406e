//! What a process that stands for a container says when its machine is lost, to whoever reads the
//! container's errors: they see a status without a cause otherwise.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::Error;

/// Where the last words go: the container's error stream, or its terminal.
#[derive(Debug, Default)]
pub(crate) struct LastWords(Option<OwnedFd>);

impl LastWords {
    /// Keeps a duplicate of `stream`.
    pub(crate) fn to(stream: Option<&OwnedFd>) -> Self {
        // Without it nothing is said, which is no reason to fail.
        Self(stream.and_then(|stream| stream.try_clone().ok()))
    }

    /// Says one line, unless nobody reads: a full pipe must not hold up the end.
    pub(crate) fn say(&self, text: &str) {
        if let Some(stream) = &self.0
            && let Err(error) = write(stream, text)
        {
            tracing::debug!(%error, "nobody hears the last words");
        }
    }
}

fn write(stream: &OwnedFd, text: &str) -> std::io::Result<()> {
    let mut polled = [PollFd::new(stream, PollFlags::OUT)];
    if poll(&mut polled, Some(&Timespec::default()))? == 0 {
        return Err(std::io::ErrorKind::WouldBlock.into());
    }
    // A raw terminal does not return the carriage by itself.
    let end = match rustix::termios::isatty(stream) {
        true => "\r\n",
        false => "\n",
    };
    // A pipe that is ready takes as much as this at once (pipe(7), `PIPE_BUF`).
    let line = format!("vc: {text}{end}");
    rustix::io::write(stream, line.as_bytes())?;
    Ok(())
}

/// An error with its causes, in one line.
pub(crate) fn in_one_line(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
