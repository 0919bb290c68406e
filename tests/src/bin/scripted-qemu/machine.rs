//! The state of the machine, and who is told of its changes.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What `query-status` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Status {
    /// Not started yet.
    #[default]
    Prelaunch,
    /// The CPUs run.
    Running,
    /// The CPUs are halted.
    Paused,
}

impl Status {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Prelaunch => "prelaunch",
            Self::Running => "running",
            Self::Paused => "paused",
        }
    }
}

#[derive(Debug, Default)]
struct State {
    status: Status,
    ended: bool,
    /// Clients in command mode.
    listeners: Vec<UnixStream>,
}

/// A machine.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    state: Mutex<State>,
    changed: Condvar,
}

impl Machine {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> Status {
        self.state().status
    }

    /// Tells this client of events from now on.
    pub(crate) fn listen(&self, client: UnixStream) {
        self.state().listeners.push(client);
    }

    /// Changes the status and tells so; QEMU is silent when nothing changes.
    pub(crate) fn turn(&self, status: Status, event: &str) {
        let mut state = self.state();
        if state.status != status {
            state.status = status;
            tell(&mut state, event);
        }
    }

    /// Tells all of an event.
    pub(crate) fn tell(&self, event: &str) {
        tell(&mut self.state(), event);
    }

    /// Lets the program end.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    pub(crate) fn until_it_ends(&self) {
        let ended = self.changed.wait_while(self.state(), |state| !state.ended);
        drop(ended);
    }
}

/// A client that has gone is forgotten.
fn tell(state: &mut State, event: &str) {
    let line = format!(
        "{{\"event\": \"{event}\", \"timestamp\": {{\"seconds\": 1, \"microseconds\": 1}}}}\r\n"
    );
    state
        .listeners
        .retain_mut(|client| client.write_all(line.as_bytes()).is_ok());
}
