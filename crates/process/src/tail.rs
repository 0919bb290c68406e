//! The last words of a program: a pipe whose end is kept, whatever amount goes through it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::{Error, sys};

/// How much of a daemon's messages matters: it may have written for days.
const OF_DAEMON: Limits = Limits {
    bytes: 8 * 1024,
    lines: 20,
};
/// How many reads one look takes at most, so that a chatterer cannot hold the caller: more than
/// the pipe's own capacity.
const READS_AT_ONCE: usize = 32;

/// How much is kept, and how many lines of that are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) lines: usize,
}

/// Reads a program's standard error and keeps the last 8 KiB.
///
/// Somebody must [`follow`](Self::follow) for as long as the program runs, else it blocks on a
/// full pipe (64 KiB).
#[derive(Debug)]
pub struct OutputTail {
    reader: OwnedFd,
    kept: Mutex<Ring>,
}

impl OutputTail {
    /// The tail, and the end to give to the program.
    ///
    /// Errors: `Internal` when there are no descriptors left.
    pub fn pipe() -> Result<(Self, OwnedFd), Error> {
        Self::limited(OF_DAEMON)
    }

    /// As [`pipe`](Self::pipe), with other limits.
    pub(crate) fn limited(limits: Limits) -> Result<(Self, OwnedFd), Error> {
        let failed = |error| Error::system("cannot make a pipe for a program's messages", error);
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        // Only our end: the flag would belong to the program's end too if set on creation.
        rustix::io::ioctl_fionbio(&reader, true).map_err(failed)?;
        let kept = Mutex::new(Ring::new(limits));
        Ok((Self { reader, kept }, writer))
    }

    /// Reads until all holders of the other end are gone. Safe to drop; what was read is kept.
    /// Makes no system call while the program is silent. Needs a tokio runtime with IO.
    ///
    /// Errors: `Internal` when the runtime cannot watch one more descriptor.
    pub async fn follow(&self) -> Result<(), Error> {
        let failed = |error| Error::system("cannot watch a program's messages", error);
        let reader = self.reader.try_clone().map_err(failed)?;
        let watched = sys::watch_readable(reader).map_err(failed)?;
        loop {
            let mut ready = watched.readable().await.map_err(failed)?;
            match self.take_available() {
                Available::More => {}
                Available::Empty => ready.clear_ready(),
                Available::Ended => return Ok(()),
            }
        }
    }

    /// The last 20 lines within the last 8 KiB, those written just now included. Control
    /// characters and bytes that are not UTF-8 are replaced: a guest may have chosen them.
    pub fn text(&self) -> String {
        self.take_available();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.text()
    }

    fn take_available(&self) -> Available {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chunk = [0; 4096];
        for _ in 0..READS_AT_ONCE {
            match rustix::io::read(&self.reader, &mut chunk) {
                Ok(0) => return Available::Ended,
                Ok(length) => kept.push(&chunk[..length]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Available::Empty,
                Err(_) => return Available::Ended,
            }
        }
        Available::More
    }
}

/// What a look into the pipe found.
enum Available {
    More,
    Empty,
    Ended,
}

/// The last bytes of a stream.
#[derive(Debug)]
struct Ring {
    limits: Limits,
    bytes: VecDeque<u8>,
}

impl Ring {
    fn new(limits: Limits) -> Self {
        let bytes = VecDeque::new();
        Self { limits, bytes }
    }

    fn push(&mut self, chunk: &[u8]) {
        let kept = self.limits.bytes;
        let chunk = &chunk[chunk.len().saturating_sub(kept)..];
        let surplus = (self.bytes.len() + chunk.len()).saturating_sub(kept);
        self.bytes.drain(..surplus);
        self.bytes.extend(chunk);
    }

    fn text(&self) -> String {
        let (front, back) = self.bytes.as_slices();
        let whole = [front, back].concat();
        let text = String::from_utf8_lossy(&whole);
        let text = text.trim_end();
        let skipped = text.lines().count().saturating_sub(self.limits.lines);
        let lines: Vec<String> = text.lines().skip(skipped).map(printable).collect();
        lines.join("\n")
    }
}

fn printable(line: &str) -> String {
    let replace = |c: char| match c {
        '\t' => c,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    line.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_stream_is_kept() {
        let mut ring = Ring::new(OF_DAEMON);
        for number in 0..5000 {
            ring.push(format!("line {number}\n").as_bytes());
        }
        assert_eq!(ring.bytes.len(), OF_DAEMON.bytes);
        let text = ring.text();
        assert_eq!(text.lines().count(), OF_DAEMON.lines);
        assert!(text.starts_with("line 4980\n"), "{text}");
        assert!(text.ends_with("line 4999"), "{text}");

        ring.push(&[b'x'; 3 * OF_DAEMON.bytes]);
        assert_eq!(ring.text().len(), OF_DAEMON.bytes);
    }

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        let mut ring = Ring::new(OF_DAEMON);
        ring.push(b"\x1b[31mred\tand \xff\n");
        assert_eq!(ring.text(), "\u{fffd}[31mred\tand \u{fffd}");
    }
}
