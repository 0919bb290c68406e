//! The guest's console, kept in two files of bounded size, which outlive the machine.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::net::unix::pipe;

use crate::paths::{CONSOLE, CONSOLE_OLD};

/// The size at which the newer file becomes the older one.
const RING_HALF: u64 = 256 * 1024;

/// Writes the console to its files, at most 512 KiB in all.
#[derive(Debug)]
pub(crate) struct ConsoleLog {
    directory: PathBuf,
    /// There is one when there is something to write.
    file: Option<File>,
    written: u64,
}

impl ConsoleLog {
    /// Starts a new log in `directory`.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            file: None,
            written: 0,
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written + bytes.len() as u64 > RING_HALF {
            let current = self.directory.join(CONSOLE);
            std::fs::rename(&current, self.directory.join(CONSOLE_OLD))?;
            self.file = None;
            self.written = 0;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.directory.join(CONSOLE))?),
        };
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Copies the console from the machine's pipe to its log until the machine ends. A log that cannot
/// be written is given up, but the pipe is still read, so that the guest never blocks on it.
pub(crate) async fn copy(from: pipe::Receiver, mut log: ConsoleLog) {
    let mut lost = false;
    // The buffer is there only while there is something in it.
    while from.readable().await.is_ok() {
        let mut buffer = [0; 4096];
        match from.try_read(&mut buffer) {
            Ok(length @ 1..) => {
                if !lost && let Err(error) = log.append(&buffer[..length]) {
                    tracing::warn!(%error, "the guest console cannot be logged any more");
                    lost = true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// A pipe for the console: the machine's end, and ours.
pub(crate) fn channel() -> io::Result<(OwnedFd, pipe::Receiver)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((write, pipe::Receiver::from_owned_fd(read)?))
}

/// What the files in `directory` hold, oldest first; empty when there are none.
pub(crate) fn read(directory: &Path) -> Vec<u8> {
    let part = |name| std::fs::read(directory.join(name)).unwrap_or_default();
    [part(CONSOLE_OLD), part(CONSOLE)].concat()
}

/// The last `count` lines, without control characters that a guest could aim at a terminal.
pub(crate) fn last_lines(console: &[u8], count: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let tail = &lines[lines.len().saturating_sub(count)..];
    tail.iter()
        .map(|line| line.chars().filter(|c| !c.is_control()).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = ConsoleLog::new(directory.path());
        for number in 0..20_000 {
            log.append(format!("line {number} {}\n", "x".repeat(100)).as_bytes())
                .unwrap();
        }
        let kept = read(directory.path());
        assert!(kept.len() as u64 <= 2 * RING_HALF);
        assert!(kept.len() as u64 > RING_HALF);
        assert!(last_lines(&kept, 1)[0].starts_with("line 19999 "));
    }

    #[test]
    fn lines_are_safe_to_show() {
        let lines = last_lines(b"one\n\n\x1b[31mtwo\x07\r\nthree \xff", 2);
        assert_eq!(lines, ["[31mtwo", "three \u{fffd}"]);
    }
}
