//! The state of the machine, and who is told of its changes.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::devices::Devices;

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
    devices: Devices,
}

/// What a command gives: a value, or a class of errors and a text.
pub(crate) type Answer = Result<Value, (&'static str, &'static str)>;

/// The class of errors for a name that nothing has.
pub(crate) const NOT_FOUND: &str = "DeviceNotFound";

/// A machine.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    state: Mutex<State>,
    changed: Condvar,
}

impl Machine {
    /// One with these network devices.
    pub(crate) fn new(devices: Devices) -> Self {
        let state = State {
            devices,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            ..Self::default()
        }
    }

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
            tell(&mut state, event, &json!({}));
        }
        let_go(&mut state);
    }

    /// Executes a command about devices; `None` for any other. What the guest does about it is told by
    /// [`settle`](Self::settle).
    pub(crate) fn execute(&self, name: &str, arguments: &Value) -> Option<Answer> {
        self.state().devices.execute(name, arguments)
    }

    /// Lets the guest do what it was asked for.
    pub(crate) fn settle(&self) {
        let_go(&mut self.state());
    }

    /// Tells all of an event.
    pub(crate) fn tell(&self, event: &str) {
        tell(&mut self.state(), event, &json!({}));
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

/// A guest whose CPUs run lets devices go at once.
fn let_go(state: &mut State) {
    if state.status == Status::Running {
        for device in state.devices.let_go() {
            let data = json!({"device": device, "path": format!("/machine/peripheral/{device}")});
            tell(state, "DEVICE_DELETED", &data);
        }
    }
}

/// A client that has gone is forgotten.
fn tell(state: &mut State, event: &str, data: &Value) {
    let time = json!({"seconds": 1, "microseconds": 1});
    let line = json!({"event": event, "data": data, "timestamp": time});
    let line = format!("{line}\r\n");
    state
        .listeners
        .retain_mut(|client| client.write_all(line.as_bytes()).is_ok());
}
