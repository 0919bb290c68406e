//! Waiting for a lock until a deadline. The kernel has no `flock` with a time limit, so a thread
//! waits in it without one, and whoever wants the lock waits for the thread.
//!
//! A thread whose caller gave up stays in the kernel until the holder lets go; it then releases at
//! once. The next caller that waits for the same file takes it over, so that a lock that is held
//! for hours costs as many threads as there are callers at one time, not as there were tries.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::LeaseMode;

const STACK: usize = 64 * 1024;

#[derive(Debug)]
enum Phase {
    /// The thread is in the kernel and its caller waits.
    Wanted,
    /// The thread is in the kernel and nobody waits.
    Abandoned,
    /// The thread has ended and left what it got.
    Done(io::Result<File>),
    /// The thread has ended; what it got was taken or released.
    Over,
}

#[derive(Debug)]
struct Waiter {
    phase: Mutex<Phase>,
    changed: Condvar,
}

type Abandoned = HashMap<(PathBuf, LeaseMode), Vec<Arc<Waiter>>>;

/// Waiting in the kernel is a property of the process, hence a static.
static ABANDONED: LazyLock<Mutex<Abandoned>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the lock on `file`, which is the file at `path`, or on one that was opened earlier
/// under the same path: the caller checks which. `None` when the time is over.
pub(super) fn lock_within(
    file: File,
    path: &Path,
    mode: LeaseMode,
    time: Duration,
) -> io::Result<Option<File>> {
    if time.is_zero() {
        return Ok(None);
    }
    let waiter = match take_over(path, mode) {
        Some(waiter) => waiter,
        None => start(file, mode)?,
    };
    let phase = lock(&waiter.phase);
    let (mut phase, _) = waiter
        .changed
        .wait_timeout_while(phase, time, |phase| matches!(phase, Phase::Wanted))
        .unwrap_or_else(PoisonError::into_inner);
    if matches!(*phase, Phase::Wanted) {
        *phase = Phase::Abandoned;
        drop(phase);
        park(path, mode, waiter);
        return Ok(None);
    }
    match std::mem::replace(&mut *phase, Phase::Over) {
        Phase::Done(result) => result.map(Some),
        Phase::Wanted | Phase::Abandoned | Phase::Over => Ok(None),
    }
}

fn start(file: File, mode: LeaseMode) -> io::Result<Arc<Waiter>> {
    let waiter = Arc::new(Waiter {
        phase: Mutex::new(Phase::Wanted),
        changed: Condvar::new(),
    });
    let shared = Arc::clone(&waiter);
    thread::Builder::new()
        .name("vc-lock".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let result = match mode {
                LeaseMode::Shared => file.lock_shared(),
                LeaseMode::Exclusive => file.lock(),
            };
            let mut phase = lock(&shared.phase);
            *phase = match *phase {
                Phase::Wanted => Phase::Done(result.map(|()| file)),
                Phase::Abandoned | Phase::Done(_) | Phase::Over => Phase::Over,
            };
            shared.changed.notify_all();
        })?;
    Ok(waiter)
}

fn park(path: &Path, mode: LeaseMode, waiter: Arc<Waiter>) {
    let mut abandoned = lock(&ABANDONED);
    abandoned.retain(|_, waiters| {
        waiters.retain(|waiter| matches!(*lock(&waiter.phase), Phase::Abandoned));
        !waiters.is_empty()
    });
    abandoned
        .entry((path.to_owned(), mode))
        .or_default()
        .push(waiter);
}

fn take_over(path: &Path, mode: LeaseMode) -> Option<Arc<Waiter>> {
    let mut abandoned = lock(&ABANDONED);
    let key = (path.to_owned(), mode);
    let waiters = abandoned.get_mut(&key)?;
    let mut taken = None;
    while let Some(waiter) = waiters.pop() {
        let mut phase = lock(&waiter.phase);
        if matches!(*phase, Phase::Abandoned) {
            *phase = Phase::Wanted;
            drop(phase);
            taken = Some(waiter);
            break;
        }
    }
    if waiters.is_empty() {
        abandoned.remove(&key);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> File {
        File::options().read(true).write(true).open(path).unwrap()
    }

    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    #[test]
    fn tries_in_a_row_share_one_thread_and_none_keeps_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        std::fs::write(&path, "").unwrap();
        let holder = open(&path);
        holder.lock().unwrap();
        let brief = Duration::from_millis(5);
        let try_once = || lock_within(open(&path), &path, LeaseMode::Exclusive, brief).unwrap();
        assert!(try_once().is_none());
        let before = threads();
        for _ in 0..20 {
            assert!(try_once().is_none());
        }
        assert!(threads() <= before + 1, "{} then {}", before, threads());
        drop(holder);
        // The thread gets the lock and releases it, or is taken over by this last call.
        let last = lock_within(
            open(&path),
            &path,
            LeaseMode::Exclusive,
            Duration::from_secs(10),
        );
        assert!(last.unwrap().is_some());
        open(&path).lock().unwrap();
    }
}
