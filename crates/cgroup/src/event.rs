//! Waiting for the kernel to tell: of directories that change and of processes that end.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// `PIDFD_THREAD` (Linux 6.9): the id may be that of a thread.
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(0o200);

/// Things to wait for.
#[derive(Debug)]
pub(crate) struct Events {
    files: OwnedFd,
    /// Whether anything is watched through `files`.
    has_files: bool,
    tasks: Vec<OwnedFd>,
}

/// What woke a waiter up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Something changed in what is watched.
    Changed,
    /// A task that is watched ended.
    Ended,
    /// The deadline passed.
    Late,
}

impl Events {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        Ok(Self {
            files: inotify::init(flags)?,
            has_files: false,
            tasks: Vec::new(),
        })
    }

    /// Watches a directory for entries that come, go or are written to, or one file for writes.
    /// `false` when it does not exist. Again is no difference.
    pub(crate) fn watch(&mut self, path: &Path) -> io::Result<bool> {
        let flags = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::MODIFY;
        match inotify::add_watch(&self.files, path, flags) {
            Ok(_) => {
                self.has_files = true;
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Watches a process or thread for its end. `false` when it has ended.
    pub(crate) fn watch_task(&mut self, id: Pid) -> io::Result<bool> {
        // A thread that is not the first of its process needs the flag; an old kernel refuses it.
        let opened = pidfd_open(id, PidfdFlags::empty()).or_else(|error| match error {
            Errno::SRCH => Err(error),
            _ => pidfd_open(id, THREAD),
        });
        match opened {
            Ok(task) => {
                self.tasks.push(task);
                Ok(true)
            }
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether nothing is watched, so that a wait could only end late.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_files && self.tasks.is_empty()
    }

    /// Blocks until something is told or `deadline` has passed.
    pub(crate) fn wait(&self, deadline: Instant) -> io::Result<Woken> {
        let files = PollFd::new(&self.files, PollFlags::IN);
        let tasks = self
            .tasks
            .iter()
            .map(|task| PollFd::new(task, PollFlags::IN));
        let mut watched: Vec<PollFd<'_>> = std::iter::once(files).chain(tasks).collect();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match poll(&mut watched, Some(&timespec(left))) {
                Ok(0) => return Ok(Woken::Late),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ended = watched
            .iter()
            .skip(1)
            .any(|task| !task.revents().is_empty());
        if ended {
            return Ok(Woken::Ended);
        }
        self.drain()?;
        Ok(Woken::Changed)
    }

    /// Takes what was told, so that the next wait is for something new. What it was does not
    /// matter: whoever waits looks for itself.
    fn drain(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.files, &mut buffer);
        loop {
            match reader.next() {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
