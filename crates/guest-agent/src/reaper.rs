//! Reaps every child of the agent and hands exit statuses to those who asked.
//!
//! The agent is the parent of all that loses its parent in the guest (it is PID 1 there, and a
//! child subreaper elsewhere). Statuses of awaited processes are delivered exactly once per
//! [`Exit`]; all others are thrown away. A process may end before its pid is known to whoever
//! started it: while a [`SpawnGuard`] lives, statuses nobody asked for are kept for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::sys;

/// A clone shares the same table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reaper {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    awaited: HashMap<i32, watch::Sender<Option<i32>>>,
    early: HashMap<i32, i32>,
    spawning: usize,
}

/// The end of one process, which any number of tasks may await.
#[derive(Debug, Clone)]
pub(crate) struct Exit(watch::Receiver<Option<i32>>);

impl Exit {
    /// The exit code or 128 + signal, if the process has been reaped.
    pub(crate) fn status(&self) -> Option<i32> {
        *self.0.borrow()
    }

    /// Waits for the status. Cancel-safe. `None` only if the reaper itself is gone.
    pub(crate) async fn wait(&self) -> Option<i32> {
        let mut receiver = self.0.clone();
        receiver
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|status| *status)
    }
}

/// While it lives, no exit status is thrown away.
#[derive(Debug)]
pub(crate) struct SpawnGuard(Reaper);

impl Drop for SpawnGuard {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.spawning -= 1;
        if table.spawning == 0 {
            table.early.clear();
        }
    }
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held from before a process is started until its pid was given to [`Self::watch`].
    pub(crate) fn spawning(&self) -> SpawnGuard {
        self.lock().spawning += 1;
        SpawnGuard(self.clone())
    }

    /// Registers a child. Must be called under a [`SpawnGuard`] that is older than the child.
    pub(crate) fn watch(&self, pid: i32) -> Exit {
        let mut table = self.lock();
        let early = table.early.remove(&pid);
        let (sender, receiver) = watch::channel(early);
        if early.is_none() {
            table.awaited.insert(pid, sender);
        }
        Exit(receiver)
    }

    /// Reaps whatever has ended by now.
    pub(crate) fn sweep(&self) {
        loop {
            match sys::peek_ended() {
                Ok(Some(ended)) => self.deliver(ended),
                Ok(None) => return,
                Err(error) => {
                    log::error!("waiting for children: {error}");
                    return;
                }
            }
        }
    }

    /// The status is published before the pid is freed, so that nobody who looks at the status
    /// first can signal a successor of the same number.
    fn deliver(&self, ended: sys::Ended) {
        let mut table = self.lock();
        if let Some(sender) = table.awaited.remove(&ended.pid) {
            sender.send_replace(Some(ended.status));
        } else if table.spawning > 0 {
            table.early.insert(ended.pid, ended.status);
        }
        sys::reap(ended.pid);
    }

    /// Sweeps at every SIGCHLD, for ever.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub(crate) fn start(&self) -> std::io::Result<()> {
        let mut signals = signal(SignalKind::child())?;
        let reaper = self.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                reaper.sweep();
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(pid: i32, status: i32) -> sys::Ended {
        sys::Ended { pid, status }
    }

    // Numbers no process can have, so that reaping them touches nothing.
    const A: i32 = i32::MAX;
    const B: i32 = i32::MAX - 1;

    #[test]
    fn a_status_reaches_whoever_watches() {
        let reaper = Reaper::default();
        let exit = reaper.watch(A);
        let other = exit.clone();
        reaper.deliver(ended(B, 1));
        assert_eq!(exit.status(), None);
        reaper.deliver(ended(A, 143));
        assert_eq!((exit.status(), other.status()), (Some(143), Some(143)));
    }

    #[test]
    fn a_process_may_end_before_it_is_watched() {
        let reaper = Reaper::default();
        let guard = reaper.spawning();
        reaper.deliver(ended(A, 7));
        assert_eq!(reaper.watch(A).status(), Some(7));
        drop(guard);
        // The same number, used again later, is another process.
        assert_eq!(reaper.watch(A).status(), None);
    }

    #[test]
    fn nothing_is_kept_when_nobody_spawns() {
        let reaper = Reaper::default();
        reaper.deliver(ended(A, 7));
        assert!(reaper.lock().early.is_empty());
        let (first, second) = (reaper.spawning(), reaper.spawning());
        reaper.deliver(ended(A, 7));
        drop(first);
        assert_eq!(reaper.lock().early.len(), 1);
        drop(second);
        assert!(reaper.lock().early.is_empty());
    }
}
