//! What this connection knows of the guest's containers, so that calls which would harm a
//! kata-agent are refused before they are sent.
//!
//! Another process of the host may have acted on the same guest through a connection of its own:
//! what is not known here is let through.

use std::collections::HashMap;

use virtcontainers_types::ExitStatus;

use crate::error::{Error, Result};
use crate::process::ProcessRef;

/// How many processes are remembered after they ended; the oldest knowledge is worth least.
const MAX_ENDED: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Known {
    sandbox_created: bool,
    containers: HashMap<String, Container>,
    processes: HashMap<(String, String), Process>,
    ended: usize,
}

#[derive(Debug, Default)]
struct Container {
    started: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Process {
    terminal: bool,
    status: Option<ExitStatus>,
}

fn key(process: &ProcessRef) -> (String, String) {
    (process.wire_container(), process.wire_exec())
}

impl Known {
    /// A sandbox is about to be created.
    pub(crate) fn create_sandbox(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.sandbox_created, true) {
            let reason = "the sandbox was created before; a repetition wipes the guest's state";
            return Err(Error::wrong_state("create_sandbox", reason));
        }
        Ok(())
    }

    /// A container is about to be created: its id is spent, whatever becomes of it.
    pub(crate) fn create_container(&mut self, id: &str, terminal: bool) -> Result<()> {
        if self.containers.contains_key(id) {
            let reason = "the id was used in this guest before; a repetition kills the container";
            return Err(Error::already_exists("create_container", reason).of_container(id));
        }
        self.containers.insert(id.to_owned(), Container::default());
        let init = (id.to_owned(), id.to_owned());
        let status = None;
        self.processes.insert(init, Process { terminal, status });
        Ok(())
    }

    /// A container is about to be started.
    pub(crate) fn start_container(&mut self, id: &str) -> Result<()> {
        let ended = self
            .processes
            .get(&(id.to_owned(), id.to_owned()))
            .is_some_and(|init| init.status.is_some());
        let container = self.containers.entry(id.to_owned()).or_default();
        if container.started || ended {
            let reason = "the container was started before; a second start blocks the agent";
            return Err(Error::wrong_state("start_container", reason).of_container(id));
        }
        container.started = true;
        Ok(())
    }

    /// A process is about to be started in a container.
    pub(crate) fn exec(&mut self, process: &ProcessRef, terminal: bool) -> Result<()> {
        let key = key(process);
        let known = self.processes.get(&key);
        if known.is_some_and(|known| known.status.is_none()) {
            let reason = "the exec id is in use in this container";
            return Err(Error::already_exists("exec_process", reason).of_process(process));
        }
        let status = None;
        self.processes.insert(key, Process { terminal, status });
        Ok(())
    }

    /// The process did not come to be.
    pub(crate) fn exec_failed(&mut self, process: &ProcessRef) {
        self.processes.remove(&key(process));
    }

    pub(crate) fn has_terminal(&self, process: &ProcessRef) -> bool {
        let known = self.processes.get(&key(process));
        known.is_some_and(|process| process.terminal)
    }

    pub(crate) fn status(&self, process: &ProcessRef) -> Option<ExitStatus> {
        self.processes.get(&key(process))?.status
    }

    /// A process has ended.
    pub(crate) fn ended(&mut self, process: &ProcessRef, status: ExitStatus) {
        if self.ended >= MAX_ENDED {
            // Forget ended exec'd processes; init processes go with their containers.
            self.processes
                .retain(|(container, exec), known| known.status.is_none() || container == exec);
            self.ended = 0;
        }
        let known = self.processes.entry(key(process)).or_default();
        known.status = Some(status);
        self.ended += 1;
    }

    /// The container is gone with its processes, and its id is free again.
    pub(crate) fn removed(&mut self, id: &str) {
        self.processes.retain(|(container, _), _| container != id);
        self.containers.remove(id);
    }

    /// Takes over what another connection did.
    pub(crate) fn adopt(&mut self, process: &ProcessRef, terminal: bool, started: bool) {
        let status = None;
        self.processes
            .insert(key(process), Process { terminal, status });
        let container = self.containers.entry(process.wire_container()).or_default();
        container.started |= started;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virtcontainers_types::{ContainerId, ErrorKind, ExecId};

    fn exec(id: &str) -> ProcessRef {
        ProcessRef::exec_of(ContainerId::new("c1").unwrap(), ExecId::new(id).unwrap())
    }

    #[test]
    fn an_exec_id_is_free_again_after_its_process_was_waited_for() {
        let mut known = Known::default();
        known.exec(&exec("x"), false).unwrap();
        let error = known.exec(&exec("x"), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        known.ended(&exec("x"), ExitStatus(3));
        assert_eq!(known.status(&exec("x")), Some(ExitStatus(3)));
        known.exec(&exec("x"), true).unwrap();
        assert!(known.has_terminal(&exec("x")));
        known.exec_failed(&exec("x"));
        known.exec(&exec("x"), false).unwrap();
    }

    #[test]
    fn an_id_is_spent_until_its_container_was_removed() {
        let mut known = Known::default();
        known.create_container("c1", false).unwrap();
        let again = known.create_container("c1", false).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        known.removed("c1");
        known.create_container("c1", false).unwrap();
    }

    #[test]
    fn a_container_whose_init_has_ended_is_not_started() {
        let mut known = Known::default();
        known.create_container("c1", false).unwrap();
        let init = ProcessRef::init(ContainerId::new("c1").unwrap());
        known.ended(&init, ExitStatus(137));
        let error = known.start_container("c1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState);
    }

    #[test]
    fn a_container_of_another_connection_can_be_started_once() {
        let mut known = Known::default();
        known.start_container("c9").unwrap();
        assert!(known.start_container("c9").is_err());
    }

    #[test]
    fn memory_of_ended_processes_is_bounded() {
        let mut known = Known::default();
        for number in 0..2 * MAX_ENDED {
            known.ended(&exec(&format!("x{number}")), ExitStatus(0));
        }
        assert!(known.processes.len() <= MAX_ENDED + 1);
    }
}
