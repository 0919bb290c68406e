//! The state of one guest, and the order in which things may be done to it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{Notify, watch};
use virtcontainers_agent::ErrorKind;
use virtcontainers_agent_proto::{oci, types};

use super::lock;
use super::process::{Process, SIGKILL};

#[derive(Debug)]
pub(super) struct Guest {
    state: Mutex<State>,
    pub(super) oom: Notify,
    ended: watch::Sender<bool>,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            oom: Notify::new(),
            ended: watch::Sender::new(false),
        }
    }
}

impl Guest {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    pub(super) fn end(&self) {
        self.ended.send_replace(true);
        // Whoever waits for a process learns that it is gone with its guest.
        self.state().containers.clear();
    }

    /// Waits until the guest has ended.
    pub(super) async fn over(&self) {
        // The sender lives in this very guest, so this cannot fail before.
        drop(self.ended.subscribe().wait_for(|ended| *ended).await);
    }

    pub(super) fn run_out_of_memory(&self, container: &str) {
        self.state().oom.push_back(container.to_owned());
        self.oom.notify_one();
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    sandbox: bool,
    containers: HashMap<String, Container>,
    /// Processes that were made so far.
    made: u32,
    pub(super) oom: VecDeque<String>,
    pub(super) awaits_oom: bool,
    pub(super) interfaces: Vec<types::Interface>,
    pub(super) routes: Vec<types::Route>,
}

#[derive(Debug)]
pub(super) struct Container {
    started: bool,
    pub(super) paused: bool,
    made: u32,
    pub(super) processes: HashMap<String, Process>,
    pub(super) resources: oci::LinuxResources,
    pub(super) stats_asked: u64,
}

/// Refused: a kind, and why. What is against the rules is a violation, too.
#[derive(Debug)]
pub(super) enum Refusal {
    Answer(ErrorKind, String),
    Violation(ErrorKind, String),
}

pub(super) type Checked<T> = Result<T, Refusal>;

fn answer<T>(kind: ErrorKind, reason: impl Into<String>) -> Checked<T> {
    Err(Refusal::Answer(kind, reason.into()))
}

fn violation<T>(kind: ErrorKind, reason: impl Into<String>) -> Checked<T> {
    Err(Refusal::Violation(kind, reason.into()))
}

impl State {
    pub(super) fn was_used(&self) -> bool {
        self.sandbox
    }

    pub(super) fn container_ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.containers.keys().cloned().collect();
        ids.sort();
        ids
    }

    pub(super) fn living_container_ids(&self) -> Vec<String> {
        let mut ids = self.container_ids();
        ids.retain(|id| {
            let init = self.containers.get(id).and_then(|known| known.init(id));
            init.is_some_and(|init| init.status().is_none())
        });
        ids
    }

    fn next_pid(&mut self) -> u32 {
        self.made += 1;
        // The agent is the guest's first process.
        1 + self.made
    }

    pub(super) fn create_sandbox(&mut self) -> Checked<()> {
        if std::mem::replace(&mut self.sandbox, true) {
            return violation(ErrorKind::WrongState, "create_sandbox twice");
        }
        Ok(())
    }

    pub(super) fn create_container(
        &mut self,
        id: &str,
        args: Vec<String>,
        terminal: bool,
        resources: oci::LinuxResources,
    ) -> Checked<()> {
        if !self.sandbox {
            let reason = "create_container before create_sandbox";
            return violation(ErrorKind::WrongState, reason);
        }
        if self.containers.contains_key(id) {
            let reason = format!("create_container for {id}, which exists");
            return violation(ErrorKind::AlreadyExists, reason);
        }
        let init = Process::new(1, self.next_pid(), args, terminal);
        let container = Container {
            started: false,
            paused: false,
            made: 1,
            processes: HashMap::from([(id.to_owned(), init)]),
            resources,
            stats_asked: 0,
        };
        self.containers.insert(id.to_owned(), container);
        Ok(())
    }

    pub(super) fn container(&mut self, id: &str) -> Checked<&mut Container> {
        let unknown = || Refusal::Answer(ErrorKind::NotFound, format!("no container {id}"));
        self.containers.get_mut(id).ok_or_else(unknown)
    }

    pub(super) fn process(&mut self, id: &str, exec: &str) -> Checked<&mut Process> {
        let unknown = || Refusal::Answer(ErrorKind::NotFound, format!("no process {id}/{exec}"));
        let container = self.containers.get_mut(id).ok_or_else(unknown)?;
        container.processes.get_mut(exec).ok_or_else(unknown)
    }

    /// Marks the container as started and gives its init.
    pub(super) fn start_container(&mut self, id: &str) -> Checked<&mut Process> {
        let container = self.container(id)?;
        if container.paused {
            return answer(ErrorKind::WrongState, format!("container {id} is paused"));
        }
        let dead = container
            .init(id)
            .is_none_or(|init| init.status().is_some());
        if dead || std::mem::replace(&mut container.started, true) {
            let reason = format!("start_container for {id}, which was started or has ended");
            return violation(ErrorKind::WrongState, reason);
        }
        self.process(id, id)
    }

    pub(super) fn remove_container(&mut self, id: &str) -> Checked<()> {
        self.container(id)?.kill_all();
        self.containers.remove(id);
        Ok(())
    }

    pub(super) fn exec(
        &mut self,
        id: &str,
        exec: &str,
        args: Vec<String>,
        terminal: bool,
    ) -> Checked<&mut Process> {
        let guest_pid = self.next_pid();
        let container = self.container(id)?;
        if container.paused {
            return answer(ErrorKind::WrongState, format!("container {id} is paused"));
        }
        if container
            .init(id)
            .is_none_or(|init| init.status().is_some())
        {
            let reason = format!("the init of container {id} has ended");
            return answer(ErrorKind::WrongState, reason);
        }
        let known = container.processes.get(exec);
        if exec == id || known.is_some_and(|process| !process.waited) {
            let reason = format!("exec_process with the id {exec}, in use in {id}");
            return violation(ErrorKind::AlreadyExists, reason);
        }
        container.made += 1;
        let process = Process::new(container.made, guest_pid, args, terminal);
        container.processes.insert(exec.to_owned(), process);
        self.process(id, exec)
    }

    pub(super) fn set_paused(&mut self, id: &str, paused: bool) -> Checked<()> {
        let container = self.container(id)?;
        if paused && container.paused {
            return answer(ErrorKind::WrongState, format!("container {id} is paused"));
        }
        container.paused = paused;
        if !paused {
            container.processes.values_mut().for_each(Process::thaw);
            container.after_init(id);
        }
        Ok(())
    }

    pub(super) fn signal(&mut self, id: &str, exec: &str, signal: u32) -> Checked<()> {
        if signal > 64 {
            return answer(
                ErrorKind::Invalid,
                format!("signal {signal} does not exist"),
            );
        }
        let paused = self.container(id)?.paused;
        self.process(id, exec)?.signal(signal, paused);
        self.container(id)?.after_init(id);
        Ok(())
    }

    pub(super) fn kill_all(&mut self, id: &str) -> Checked<()> {
        self.container(id)?.kill_all();
        Ok(())
    }

    pub(super) fn exit(&mut self, id: &str, exec: &str, status: i32) -> bool {
        let ran = self
            .process(id, exec)
            .is_ok_and(|process| process.end(status));
        if let Ok(container) = self.container(id) {
            container.after_init(id);
        }
        ran
    }

    /// A status was delivered: an exec whose output was read is forgotten.
    pub(super) fn waited(&mut self, id: &str, exec: &str) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let Some(process) = container.processes.get_mut(exec) else {
            return;
        };
        process.waited = true;
        if exec != id && process.output.is_empty() {
            container.processes.remove(exec);
        }
    }
}

impl Container {
    fn init(&self, id: &str) -> Option<&Process> {
        self.processes.get(id)
    }

    /// Nothing outlives the init of a container.
    pub(super) fn after_init(&self, id: &str) {
        if self.init(id).is_some_and(|init| init.status().is_some()) {
            self.kill_all();
        }
    }

    fn kill_all(&self) {
        for process in self.processes.values() {
            process.end(128 + SIGKILL.cast_signed());
        }
    }

    /// Processes that run.
    pub(super) fn alive(&self) -> impl Iterator<Item = (&String, &Process)> {
        let alive = |(_, process): &(&String, &Process)| process.status().is_none();
        self.processes.iter().filter(alive)
    }
}
