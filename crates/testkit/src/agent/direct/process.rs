//! One process of a guest in this process.

use tokio::sync::watch;

use super::Short;

pub(super) const SIGKILL: u32 = 9;

/// Signals that end nobody who does not ask for it (signal(7)).
const HARMLESS: [u32; 9] = [0, 17, 18, 19, 20, 21, 22, 23, 28];

#[derive(Debug)]
pub(super) struct Process {
    /// Its number in the container.
    pub(super) pid: u32,
    /// Its number in the guest.
    pub(super) guest_pid: u32,
    pub(super) args: Vec<String>,
    pub(super) terminal: bool,
    pub(super) input_open: bool,
    pub(super) output: Vec<u8>,
    /// A status was delivered.
    pub(super) waited: bool,
    exit: watch::Sender<Option<i32>>,
    /// A signal that waits for the end of a pause.
    pending: Option<u32>,
}

impl Process {
    pub(super) fn new(pid: u32, guest_pid: u32, args: Vec<String>, terminal: bool) -> Self {
        Self {
            pid,
            guest_pid,
            args,
            terminal,
            input_open: true,
            output: Vec::new(),
            waited: false,
            exit: watch::Sender::new(None),
            pending: None,
        }
    }

    pub(super) fn run(&mut self, program: Option<Short>) {
        if let Some(program) = program {
            self.output = program.output;
            self.end(program.status);
        }
    }

    pub(super) fn status(&self) -> Option<i32> {
        *self.exit.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<i32>> {
        self.exit.subscribe()
    }

    /// Ends it, unless it has ended. Says whether it ran.
    pub(super) fn end(&self, status: i32) -> bool {
        let end =
            |known: &mut Option<i32>| known.is_none().then(|| *known = Some(status)).is_some();
        self.exit.send_if_modified(end)
    }

    pub(super) fn signal(&mut self, signal: u32, paused: bool) {
        if paused && signal != SIGKILL {
            self.pending = self.pending.or(Some(signal));
        } else if !HARMLESS.contains(&signal) {
            self.end(128 + signal.cast_signed());
        }
    }

    pub(super) fn thaw(&mut self) {
        if let Some(signal) = self.pending.take() {
            self.signal(signal, false);
        }
    }
}
