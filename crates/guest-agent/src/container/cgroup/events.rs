//! Waiting for what happens in a cgroup. The kernel reports changes of its event files to those
//! who poll them, so nothing here looks twice without a reason.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::container::error::{EngineError, Result, Step as _};
use crate::container::sys;

/// Largest event file that is read.
const LARGEST: usize = 1024;

/// Waits until a line of `cgroup.events` says so.
pub(super) async fn wait(dir: &Path, key: &str, value: &str, patience: Duration) -> Result<()> {
    let what = || format!("wait until {} is {key} {value}", dir.display());
    let Some(file) = open(dir)? else {
        return Ok(());
    };
    if says(&file, key, value).step(what)? {
        return Ok(());
    }
    let file = sys::watch(file, Interest::PRIORITY).step(what)?;
    let waiting = async {
        while !says(file.get_ref(), key, value).step(what)? {
            file.ready(Interest::PRIORITY)
                .await
                .step(what)?
                .clear_ready();
        }
        Ok(())
    };
    tokio::time::timeout(patience, waiting)
        .await
        .unwrap_or_else(|_| {
            Err(EngineError::internal(format!(
                "{}: not after {patience:?}",
                what()
            )))
        })
}

/// Waits on this thread until no process is left.
pub(super) fn wait_here(dir: &Path, deadline: Instant) -> Result<()> {
    let what = || format!("wait until {} is empty", dir.display());
    let Some(file) = open(dir)? else {
        return Ok(());
    };
    while !says(&file, "populated", "0").step(what)? {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        let mut fds = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)];
        let ready = match poll(&mut fds, Some(&left)) {
            Err(Errno::INTR) => continue,
            other => other.step(what)?,
        };
        if ready == 0 {
            return Err(EngineError::internal(format!("{}: it is not", what())));
        }
    }
    Ok(())
}

/// A cgroup that is gone is as empty as can be.
fn open(dir: &Path) -> Result<Option<File>> {
    let path = dir.join("cgroup.events");
    match File::open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).step(|| format!("open {}", path.display())),
    }
}

fn says(file: &File, key: &str, value: &str) -> io::Result<bool> {
    match read(file) {
        Ok(text) => Ok(find(&text, key) == Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(true),
        Err(error) => Err(error),
    }
}

fn read(file: &File) -> io::Result<String> {
    let mut bytes = [0; LARGEST];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn find<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}

/// Tells when the out-of-memory killer has found victims in a cgroup.
#[derive(Debug)]
pub(crate) struct OomWatch {
    file: AsyncFd<File>,
    seen: u64,
}

impl OomWatch {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("memory.events");
        let what = || format!("watch {}", path.display());
        let file = File::open(&path).step(what)?;
        let seen = kills(&file).step(what)?;
        let file = sys::watch(file, Interest::PRIORITY).step(what)?;
        Ok(Self { file, seen })
    }

    /// Waits for more victims. `None`: the cgroup is gone, there will be none. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<()> {
        loop {
            let kills = kills(self.file.get_ref()).ok()?;
            if kills > self.seen {
                self.seen = kills;
                return Some(());
            }
            self.file
                .ready(Interest::PRIORITY)
                .await
                .ok()?
                .clear_ready();
        }
    }
}

/// Processes killed, in the cgroup and below it.
fn kills(file: &File) -> io::Result<u64> {
    Ok(find(&read(file)?, "oom_kill")
        .and_then(|count| count.parse().ok())
        .unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn keys_are_whole_words() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(find(text, "oom"), Some("3"));
        assert_eq!(find(text, "oom_kill"), Some("2"));
        assert_eq!(find(text, "high"), None);
    }
}
