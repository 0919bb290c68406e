//! The state of the simulated guest, and the order in which things may be done to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ttrpc::{Code, Error};
use virtcontainers_agent_proto::{agent, process, text};

use super::network::Network;
use super::process::{Identity, Process};
use super::{Fault, Flavor, Program, check};

type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) flavor: Flavor,
    programs: BTreeMap<String, Program>,
    pub(super) serving: bool,
    checked: bool,
    pub(super) calls: Vec<String>,
    pub(super) violations: Vec<String>,
    pub(super) faults: BTreeMap<String, Fault>,
    sandbox: bool,
    destroyed: bool,
    pub(super) containers: BTreeMap<String, Container>,
    spent: BTreeSet<String>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<String, Part>,
    /// Processes that were made so far.
    made: u32,
    pub(super) oom: VecDeque<String>,
    pub(super) awaits_oom: bool,
    pub(super) network: Network,
}

#[derive(Debug)]
pub(super) struct Container {
    started: bool,
    paused: bool,
    /// Waits under way.
    waits: usize,
    /// Processes that were made in it so far.
    made: u32,
    processes: BTreeMap<String, Process>,
}

/// A file of which parts have come, under its temporary name.
#[derive(Debug)]
struct Part {
    path: String,
    data: Vec<u8>,
}

pub(super) fn status(code: Code, message: impl ToString) -> Error {
    ttrpc::error::get_rpc_status(code, message)
}

impl Model {
    pub(super) fn new(
        flavor: Flavor,
        programs: BTreeMap<String, Program>,
        links: Vec<String>,
    ) -> Self {
        Self {
            flavor,
            programs,
            serving: true,
            checked: false,
            calls: Vec::new(),
            violations: Vec::new(),
            faults: BTreeMap::new(),
            sandbox: false,
            destroyed: false,
            containers: BTreeMap::new(),
            spent: BTreeSet::new(),
            files: BTreeMap::new(),
            parts: BTreeMap::new(),
            made: 0,
            oom: VecDeque::new(),
            awaits_oom: false,
            network: Network::new(links),
        }
    }

    /// Records what was done against the rules, and refuses it.
    pub(super) fn violation(&mut self, what: impl Into<String>) -> Error {
        let what = what.into();
        self.violations.push(what.clone());
        status(Code::FAILED_PRECONDITION, format!("strict agent: {what}"))
    }

    /// Refuses with a violation when a check found one.
    pub(super) fn rule(&mut self, checked: std::result::Result<(), String>) -> Result<()> {
        checked.map_err(|what| self.violation(what))
    }

    /// A call has come in: the rules that hold for all.
    pub(super) fn enter(&mut self, method: &str) -> Result<()> {
        let earlier = self
            .calls
            .iter()
            .any(|call| call != "Check" && call != "Version");
        self.calls.push(method.to_owned());
        match method {
            "Check" | "Version" => {}
            _ if !self.checked => {
                return Err(self.violation(format!("{method} before Check has said SERVING")));
            }
            "SetPolicy" if earlier => {
                return Err(self.violation("SetPolicy after another call"));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn check(&mut self) -> bool {
        self.checked |= self.serving;
        self.serving
    }

    pub(super) fn create_sandbox(&mut self, request: &agent::CreateSandboxRequest) -> Result<()> {
        if std::mem::replace(&mut self.sandbox, true) {
            return Err(self.violation("CreateSandbox twice: it wipes the guest's state"));
        }
        for module in &request.kernel_modules {
            if module.name.is_empty() {
                return Err(status(Code::INTERNAL, "kernel module name is empty"));
            }
        }
        self.rule(check::storages(&request.storages))
    }

    pub(super) fn destroy_sandbox(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.destroyed, true) {
            return Err(status(Code::INTERNAL, "the sandbox was destroyed before"));
        }
        for container in self.containers.values() {
            container.kill_all();
        }
        self.containers.clear();
        Ok(())
    }

    pub(super) fn create_container(
        &mut self,
        request: &agent::CreateContainerRequest,
    ) -> Result<()> {
        let id = &request.container_id;
        if !self.sandbox {
            return Err(self.violation("CreateContainer before CreateSandbox"));
        }
        if self.containers.contains_key(id) {
            return Err(self.violation(format!(
                "CreateContainer for {id} again: kills the running container"
            )));
        }
        if !self.spent.insert(id.clone()) && self.flavor == Flavor::Kata {
            return Err(self.violation(format!(
                "CreateContainer for {id} after a failure: its bundle is left over"
            )));
        }
        check::id(id).map_err(|text| status(Code::INTERNAL, text))?;
        let checked = check::create(request, self.flavor);
        self.rule(checked)?;
        let process = request.OCI.Process.get_or_default();
        let program = self.program(&process.Args)?;
        let init = Process::create(program, self.identity(1, &process.Args), process.Terminal);
        let container = Container {
            started: false,
            paused: false,
            waits: 0,
            made: 1,
            processes: BTreeMap::from([(id.clone(), init)]),
        };
        self.containers.insert(id.clone(), container);
        Ok(())
    }

    fn program(&self, args: &[String]) -> Result<Program> {
        let name = args.first().map(String::as_str).unwrap_or_default();
        let missing = || status(Code::INTERNAL, text::program_not_found(name));
        self.programs.get(name).cloned().ok_or_else(missing)
    }

    fn identity(&mut self, pid: u32, args: &[String]) -> Identity {
        self.made += 1;
        Identity {
            pid,
            // The agent is the guest's first process.
            guest_pid: 1 + self.made,
            args: args.to_vec(),
        }
    }

    /// What runs in a container, in the order in which it was made.
    pub(super) fn list_processes(&mut self, id: &str) -> Result<Vec<process::ProcessInfo>> {
        let container = self.container(id, Code::INVALID_ARGUMENT)?;
        let alive = container.processes.iter();
        let alive = alive.filter(|(_, process)| !process.has_ended());
        let mut list: Vec<_> = alive
            .map(|(exec, process)| process::ProcessInfo {
                pid: process.identity.pid,
                guest_pid: process.identity.guest_pid,
                guest_ppid: 1,
                user: "root".to_owned(),
                state: "S".to_owned(),
                args: process
                    .identity
                    .args
                    .iter()
                    .map(|arg| arg.clone().into())
                    .collect(),
                exec_id: exec.clone(),
                ..Default::default()
            })
            .collect();
        list.sort_by_key(|process| process.pid);
        Ok(list)
    }

    pub(super) fn start_container(&mut self, id: &str) -> Result<()> {
        let container = self.container(id, Code::INTERNAL)?;
        let dead = container.processes.get(id).is_none_or(Process::has_ended);
        if dead || container.started {
            return Err(self.violation(format!(
                "StartContainer for {id}, which was started or has ended: blocks the agent"
            )));
        }
        container.started = true;
        if let Some(init) = container.processes.get(id) {
            init.start();
        }
        Ok(())
    }

    pub(super) fn remove_container(&mut self, id: &str, timeout: u32) -> Result<()> {
        let container = self.container(id, Code::INTERNAL)?;
        let init = container.processes.get(id);
        let unwaited = container.started && init.is_some_and(|init| !init.waited);
        let waits = container.waits;
        if timeout == 0 {
            return Err(self.violation("RemoveContainer with timeout 0: may last for ever"));
        }
        if unwaited || waits > 0 {
            return Err(self.violation(format!("RemoveContainer for {id} before WaitProcess")));
        }
        if let Some(container) = self.containers.remove(id) {
            container.kill_all();
        }
        self.spent.remove(id);
        Ok(())
    }

    pub(super) fn set_paused(&mut self, id: &str, paused: bool) -> Result<()> {
        let lenient = self.flavor == Flavor::Exact && !paused;
        let container = self.container(id, Code::INVALID_ARGUMENT)?;
        if container.paused == paused && !lenient {
            return Err(status(
                Code::INTERNAL,
                "failed to change the state of the container",
            ));
        }
        container.paused = paused;
        Ok(())
    }

    /// A container, or the answer with the code that the method has for an unknown one.
    pub(super) fn container(&mut self, id: &str, code: Code) -> Result<&mut Container> {
        let text = if code == Code::INTERNAL {
            "Invalid container id\n\nStack backtrace:\n   0: <unknown>"
        } else {
            "\"invalid container id\""
        };
        self.containers
            .get_mut(id)
            .ok_or_else(|| status(code, text))
    }

    pub(super) fn exec(&mut self, request: &agent::ExecProcessRequest) -> Result<()> {
        let (id, exec) = (&request.container_id, &request.exec_id);
        let container = self.container(id, Code::INTERNAL)?;
        if exec == id || exec.is_empty() || container.processes.contains_key(exec) {
            return Err(self.violation(format!("ExecProcess with the id {exec:?}, in use in {id}")));
        }
        let Some(process) = request.process.as_ref() else {
            return Err(self.violation("ExecProcess without a process"));
        };
        let checked = check::process(process);
        self.rule(checked)?;
        let program = self.program(&process.Args)?;
        let container = self.container(id, Code::INTERNAL)?;
        container.made += 1;
        let pid = container.made;
        let process = Process::create(program, self.identity(pid, &process.Args), process.Terminal);
        process.start();
        let container = self.container(id, Code::INTERNAL)?;
        container.processes.insert(exec.clone(), process);
        Ok(())
    }

    pub(super) fn process(&self, id: &str, exec: &str) -> Result<&Process> {
        let unknown = || status(Code::INVALID_ARGUMENT, "\"invalid container id\"");
        let container = self.containers.get(id).ok_or_else(unknown)?;
        let exec = if exec.is_empty() { id } else { exec };
        let gone = || status(Code::NOT_FOUND, "InvalidExecId");
        container.processes.get(exec).ok_or_else(gone)
    }

    pub(super) fn signal(&mut self, request: &agent::SignalProcessRequest) -> Result<()> {
        let (id, exec) = (&request.container_id, &request.exec_id);
        if request.signal > 64 {
            return Err(status(Code::INTERNAL, "EINVAL: Invalid argument"));
        }
        if exec.is_empty() && request.signal == 9 {
            self.container(id, Code::INTERNAL)?.kill_all();
        } else {
            self.process(id, exec)?.kill(request.signal);
        }
        Ok(())
    }

    pub(super) fn begin_wait(&mut self, id: &str, exec: &str) -> Result<Process> {
        let process = self.process(id, exec)?.clone();
        if let Some(container) = self.containers.get_mut(id) {
            container.waits += 1;
        }
        Ok(process)
    }

    /// The wait is over: the process is forgotten and its pipes are closed. Our agent keeps the
    /// status of an init, for whoever asks later.
    pub(super) fn end_wait(&mut self, id: &str, exec: &str) {
        let exec = if exec.is_empty() { id } else { exec };
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.waits -= 1;
        let Some(process) = container.processes.get_mut(exec) else {
            return;
        };
        if std::mem::replace(&mut process.waited, true) {
            return;
        }
        let process = process.clone();
        if self.flavor == Flavor::Kata || exec != id {
            container.processes.remove(exec);
        }
        let lost = process.stdout.unread() + process.stderr.unread();
        if lost > 0 {
            self.violations.push(format!(
                "WaitProcess for {id}/{exec} was answered with {lost} bytes of output unread"
            ));
        }
    }

    pub(super) fn set_window(&mut self, request: &agent::TtyWinResizeRequest) -> Result<()> {
        let (id, exec) = (&request.container_id, &request.exec_id);
        if !self.process(id, exec)?.terminal {
            return Err(status(Code::UNAVAILABLE, "no tty"));
        }
        let exec = if exec.is_empty() { id } else { exec };
        let container = self.containers.get_mut(id);
        if let Some(process) = container.and_then(|c| c.processes.get_mut(exec)) {
            process.window = Some((request.row, request.column));
        }
        Ok(())
    }

    pub(super) fn copy_file(&mut self, request: &agent::CopyFileRequest) -> Result<()> {
        if !self.sandbox {
            return Err(self.violation("CopyFile before CreateSandbox, which would wipe it"));
        }
        let checked = check::copy(request);
        self.rule(checked)?;
        let path = &request.path;
        if !check::is_regular(request.file_mode) {
            self.files.insert(path.clone(), request.data.clone());
            return Ok(());
        }
        let temporary = check::temporary_name(path);
        let other = self
            .parts
            .get(&temporary)
            .is_some_and(|part| part.path != *path);
        if other {
            return Err(self.violation(format!("CopyFile of two files as {temporary}")));
        }
        if request.offset == 0 {
            let (path, data) = (path.clone(), Vec::new());
            self.parts.insert(temporary.clone(), Part { path, data });
        }
        let expected = self
            .parts
            .get(&temporary)
            .map_or(0, |part| part.data.len() as i64);
        if request.offset != expected {
            let offset = request.offset;
            return Err(self.violation(format!("CopyFile of {path} at {offset}, not {expected}")));
        }
        if let Some(part) = self.parts.get_mut(&temporary) {
            part.data.extend_from_slice(&request.data);
            if part.data.len() as i64 >= request.file_size {
                let data = std::mem::take(&mut part.data);
                self.parts.remove(&temporary);
                self.files.insert(path.clone(), data);
            }
        }
        Ok(())
    }
}

impl Container {
    fn kill_all(&self) {
        for process in self.processes.values() {
            process.kill(9);
        }
    }
}
