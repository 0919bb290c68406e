//! The port over the model: each call enters, may go wrong on demand, and changes the model.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use virtcontainers_agent::{
    AgentPort, Error, ErrorKind, GuestDetails, OutputStream, ProcessInfo, ProcessRef, Result,
    Version,
};
use virtcontainers_agent_proto::{agent, csi, oci, types};
use virtcontainers_types::{ContainerId, ExecId, ExitStatus};

use super::guest::{Checked, Guest, Refusal, State};
use super::{Fault, Shared};
use crate::agent::{Flavor, check, service};

/// A connection to one guest.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    guest: Arc<Guest>,
}

/// The names of a process in the model.
fn names(process: &ProcessRef) -> (&str, &str) {
    let id = process.container().as_str();
    (id, process.exec().map_or(id, |exec| exec.as_str()))
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, guest: Arc<Guest>) -> Self {
        Self { shared, guest }
    }

    fn gone(method: &'static str) -> Error {
        Error::of_port(method, ErrorKind::Gone, "the guest has ended")
    }

    async fn enter(&self, method: &'static str) -> Result<()> {
        if self.guest.has_ended() {
            return Err(Self::gone(method));
        }
        match self.shared.fault(method) {
            None => Ok(()),
            Some(Fault::Fail(kind)) => Err(Error::of_port(method, kind, "failed on demand")),
            Some(Fault::Hang) => self.unless_gone(method, pending()).await,
        }
    }

    /// Waits, and no longer than the guest lives.
    async fn unless_gone<T>(
        &self,
        method: &'static str,
        wait: impl Future<Output = T>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            done = wait => Ok(done),
            () = self.guest.over() => Err(Self::gone(method)),
        }
    }

    fn refuse(&self, method: &'static str, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Answer(kind, reason) => Error::of_port(method, kind, reason),
            Refusal::Violation(kind, what) => {
                Error::of_port(method, kind, self.shared.violation(what))
            }
        }
    }

    /// Enters, and does something to the model at once.
    async fn act<T>(
        &self,
        method: &'static str,
        act: impl FnOnce(&mut State) -> Checked<T> + Send,
    ) -> Result<T> {
        self.enter(method).await?;
        let acted = act(&mut self.guest.state());
        acted.map_err(|refusal| self.refuse(method, refusal))
    }

    /// A rule that does not depend on the state.
    fn rule(&self, method: &'static str, checked: Result<(), String>) -> Result<()> {
        let broken = |what| self.refuse(method, Refusal::Violation(ErrorKind::Invalid, what));
        checked.map_err(broken)
    }
}

#[async_trait]
impl AgentPort for Connection {
    async fn closed(&self) {
        self.guest.over().await;
    }

    fn adopt(&self, _: &ProcessRef, _: bool, _: bool) {}

    fn forget(&self, _: &ContainerId) {}

    async fn check(&self) -> Result<()> {
        self.enter("check").await
    }

    async fn version(&self) -> Result<Version> {
        self.enter("version").await?;
        Ok(Version {
            protocol: "0.0.1".to_owned(),
            release: "direct".to_owned(),
        })
    }

    async fn create_sandbox(&self, request: agent::CreateSandboxRequest) -> Result<()> {
        self.act("create_sandbox", State::create_sandbox).await?;
        self.rule("create_sandbox", check::storages(&request.storages))
    }

    async fn destroy_sandbox(&self) -> Result<()> {
        self.enter("destroy_sandbox").await?;
        self.guest.end();
        Ok(())
    }

    async fn guest_details(&self) -> Result<GuestDetails> {
        self.enter("guest_details").await?;
        Ok(service::guest_details(Flavor::Exact).into())
    }

    async fn set_guest_date_time(&self, _: SystemTime) -> Result<()> {
        self.enter("set_guest_date_time").await
    }

    async fn reseed_random_dev(&self, data: Vec<u8>) -> Result<()> {
        self.enter("reseed_random_dev").await?;
        let empty = data.is_empty().then_some("reseed_random_dev without data");
        self.rule(
            "reseed_random_dev",
            empty.map_or(Ok(()), |what| Err(what.to_owned())),
        )
    }

    async fn set_policy(&self, _: String) -> Result<()> {
        self.enter("set_policy").await?;
        let reason = "this agent has no policy";
        Err(Error::of_port("set_policy", ErrorKind::Unsupported, reason))
    }

    async fn get_oom_event(&self) -> Result<Option<String>> {
        let second = |state: &mut State| Ok(std::mem::replace(&mut state.awaits_oom, true));
        if self.act("get_oom_event", second).await? {
            let what = "two of get_oom_event at once".to_owned();
            return Err(self.refuse("get_oom_event", Refusal::Violation(ErrorKind::Busy, what)));
        }
        let _awaiting = AwaitsOom(&self.guest);
        loop {
            if let Some(id) = self.guest.state().oom.pop_front() {
                return Ok(Some(id));
            }
            tokio::select! {
                () = self.guest.oom.notified() => {}
                () = self.guest.over() => return Ok(None),
            }
        }
    }

    async fn online_cpu_mem(&self, _: u32, _: bool) -> Result<()> {
        self.enter("online_cpu_mem").await
    }

    async fn create_container(&self, request: agent::CreateContainerRequest) -> Result<()> {
        self.enter("create_container").await?;
        let checked = check::create(&request, Flavor::Exact);
        self.rule("create_container", checked)?;
        let mut spec = request.OCI.unwrap_or_default();
        let process = spec.Process.take().unwrap_or_default();
        let resources = spec
            .Linux
            .take()
            .and_then(|mut linux| linux.Resources.take());
        let created = self.guest.state().create_container(
            &request.container_id,
            process.Args,
            process.Terminal,
            resources.unwrap_or_default(),
        );
        let named = |refusal| self.refuse("create_container", refusal);
        created.map_err(|refusal| named(refusal).of_container(request.container_id))
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let started = self.act("start_container", |state| {
            let init = state.start_container(id.as_str())?;
            init.run(self.shared.program(&init.args));
            Ok(())
        });
        started
            .await
            .map_err(|error| error.of_container(id.as_str()))
    }

    async fn remove_container(&self, id: &ContainerId, _: Duration) -> Result<()> {
        let remove = |state: &mut State| state.remove_container(id.as_str());
        let removed = self.act("remove_container", remove).await;
        removed.map_err(|error| error.of_container(id.as_str()))
    }

    async fn pause_container(&self, id: &ContainerId) -> Result<()> {
        let pause = |state: &mut State| state.set_paused(id.as_str(), true);
        let paused = self.act("pause_container", pause).await;
        paused.map_err(|error| error.of_container(id.as_str()))
    }

    async fn resume_container(&self, id: &ContainerId) -> Result<()> {
        let resume = |state: &mut State| state.set_paused(id.as_str(), false);
        let resumed = self.act("resume_container", resume).await;
        resumed.map_err(|error| error.of_container(id.as_str()))
    }

    async fn update_container(
        &self,
        id: &ContainerId,
        resources: oci::LinuxResources,
    ) -> Result<()> {
        let update = |state: &mut State| {
            let limits = &mut state.container(id.as_str())?.resources;
            if resources.Pids.is_some() {
                limits.Pids = resources.Pids;
            }
            if resources.Memory.is_some() {
                limits.Memory = resources.Memory;
            }
            Ok(())
        };
        let updated = self.act("update_container", update).await;
        updated.map_err(|error| error.of_container(id.as_str()))
    }

    async fn stats_container(&self, id: &ContainerId) -> Result<agent::StatsContainerResponse> {
        let read = |state: &mut State| Ok(super::stats::read(state.container(id.as_str())?));
        let stats = self.act("stats_container", read).await;
        stats.map_err(|error| error.of_container(id.as_str()))
    }

    async fn list_processes(&self, id: &ContainerId) -> Result<Vec<ProcessInfo>> {
        let list = |state: &mut State| {
            let mut list: Vec<_> = state
                .container(id.as_str())?
                .alive()
                .map(|(exec, process)| ProcessInfo {
                    pid: process.pid,
                    ppid: 0,
                    guest_pid: process.guest_pid,
                    guest_ppid: 1,
                    uid: 0,
                    user: Some("root".to_owned()),
                    cpu_time: Duration::ZERO,
                    started: Duration::ZERO,
                    resident: 0,
                    state: 'S',
                    args: process.args.clone(),
                    started_as: Some(started_as(id, exec)),
                })
                .collect();
            list.sort_by_key(|process| process.pid);
            Ok(list)
        };
        let listed = self.act("list_processes", list).await;
        listed.map_err(|error| error.of_container(id.as_str()))
    }

    async fn exec_process(&self, process: &ProcessRef, spec: oci::Process) -> Result<()> {
        let (id, exec) = names(process);
        let checked = check::process(&spec);
        self.rule("exec_process", checked)?;
        let started = self.act("exec_process", |state| {
            let process = state.exec(id, exec, spec.Args, spec.Terminal)?;
            process.run(self.shared.program(&process.args));
            Ok(())
        });
        started.await.map_err(|error| error.of_process(process))
    }

    async fn signal_process(&self, process: &ProcessRef, signal: u32) -> Result<()> {
        let (id, exec) = names(process);
        let sent = self.act("signal_process", |state| state.signal(id, exec, signal));
        sent.await.map_err(|error| error.of_process(process))
    }

    async fn kill_all(&self, id: &ContainerId) -> Result<()> {
        let killed = self.act("kill_all", |state| state.kill_all(id.as_str()));
        killed
            .await
            .map_err(|error| error.of_container(id.as_str()))
    }

    async fn wait_process(&self, process: &ProcessRef) -> Result<ExitStatus> {
        let (id, exec) = names(process);
        let watch = |state: &mut State| Ok(state.process(id, exec)?.watch());
        let found = self.act("wait_process", watch).await;
        let mut exit = found.map_err(|error| error.of_process(process))?;
        let ended = exit.wait_for(Option::is_some);
        let status = self.unless_gone("wait_process", ended).await?;
        let status = status.map_or(None, |status| *status);
        self.guest.state().waited(id, exec);
        status
            .map(ExitStatus)
            .ok_or_else(|| Self::gone("wait_process"))
    }

    async fn write_stdin(&self, process: &ProcessRef, data: Vec<u8>) -> Result<()> {
        let (id, exec) = names(process);
        self.rule("write_stdin", length("write_stdin", data.len()))?;
        let open = |state: &mut State| {
            let process = state.process(id, exec)?;
            Ok(process.input_open && process.status().is_none())
        };
        if self.act("write_stdin", open).await? {
            return Ok(());
        }
        let error = Error::of_port("write_stdin", ErrorKind::NotFound, "nobody reads it");
        Err(error.of_process(process))
    }

    async fn close_stdin(&self, process: &ProcessRef) -> Result<()> {
        let (id, exec) = names(process);
        let close = |state: &mut State| {
            let process = state.process(id, exec)?;
            if process.terminal {
                let what = "close_stdin of a process with a terminal".to_owned();
                return Err(Refusal::Violation(ErrorKind::WrongState, what));
            }
            process.input_open = false;
            Ok(())
        };
        let closed = self.act("close_stdin", close).await;
        closed.map_err(|error| error.of_process(process))
    }

    async fn read_output(
        &self,
        process: &ProcessRef,
        stream: OutputStream,
        max: u32,
    ) -> Result<Option<Vec<u8>>> {
        let (id, exec) = names(process);
        self.rule("read_output", length("read_output", max as usize))?;
        let read = |state: &mut State| {
            let Ok(process) = state.process(id, exec) else {
                return Ok(Err(None));
            };
            if stream == OutputStream::Stdout && !process.output.is_empty() {
                let count = process.output.len().min(max as usize);
                return Ok(Ok(process.output.drain(..count).collect()));
            }
            let ended = process.status().is_some();
            let no_stream = process.terminal && stream == OutputStream::Stderr;
            Ok(Err((!ended && !no_stream).then(|| process.watch())))
        };
        let mut exit = match self.act("read_output", read).await? {
            Ok(data) => return Ok(Some(data)),
            Err(None) => return Ok(None),
            Err(Some(exit)) => exit,
        };
        // What runs on says nothing, so there is only its end to wait for.
        let ended = exit.wait_for(Option::is_some);
        drop(self.unless_gone("read_output", ended).await?);
        Ok(None)
    }

    async fn tty_win_resize(&self, process: &ProcessRef, _: u32, _: u32) -> Result<()> {
        let (id, exec) = names(process);
        let resize = |state: &mut State| match state.process(id, exec)?.terminal {
            true => Ok(()),
            false => Err(Refusal::Answer(
                ErrorKind::WrongState,
                "no terminal".to_owned(),
            )),
        };
        let resized = self.act("tty_win_resize", resize).await;
        resized.map_err(|error| error.of_process(process))
    }

    async fn update_interface(&self, interface: types::Interface) -> Result<types::Interface> {
        let update = |state: &mut State| {
            let known = &mut state.interfaces;
            known.retain(|link| link.hwAddr != interface.hwAddr);
            known.push(interface.clone());
            Ok(())
        };
        self.act("update_interface", update).await?;
        Ok(interface)
    }

    async fn update_routes(&self, routes: Vec<types::Route>) -> Result<Vec<types::Route>> {
        let add = |state: &mut State| {
            for route in routes {
                if !state.routes.contains(&route) {
                    state.routes.push(route);
                }
            }
            Ok(state.routes.clone())
        };
        self.act("update_routes", add).await
    }

    async fn list_interfaces(&self) -> Result<Vec<types::Interface>> {
        let list = |state: &mut State| Ok(state.interfaces.clone());
        self.act("list_interfaces", list).await
    }

    async fn list_routes(&self) -> Result<Vec<types::Route>> {
        let list = |state: &mut State| Ok(state.routes.clone());
        self.act("list_routes", list).await
    }

    async fn add_arp_neighbors(&self, _: Vec<types::ARPNeighbor>) -> Result<()> {
        self.enter("add_arp_neighbors").await
    }

    async fn copy_file(&self, part: agent::CopyFileRequest) -> Result<()> {
        self.enter("copy_file").await?;
        self.rule("copy_file", check::copy(&part))
    }

    async fn get_volume_stats(&self, _: &str) -> Result<csi::VolumeStatsResponse> {
        self.enter("get_volume_stats").await?;
        Ok(csi::VolumeStatsResponse::new())
    }

    async fn get_metrics(&self) -> Result<String> {
        self.enter("get_metrics").await?;
        Ok(String::new())
    }
}

fn started_as(id: &ContainerId, exec: &str) -> ProcessRef {
    match ExecId::new(exec) {
        Ok(exec) if exec.as_str() != id.as_str() => ProcessRef::exec_of(id.clone(), exec),
        _ => ProcessRef::init(id.clone()),
    }
}

fn length(method: &str, length: usize) -> Result<(), String> {
    if (1..=check::MAX_CHUNK).contains(&length) {
        return Ok(());
    }
    Err(format!("{method} of {length} bytes"))
}

/// A wait for an out-of-memory event; over when it is dropped.
struct AwaitsOom<'a>(&'a Guest);

impl Drop for AwaitsOom<'_> {
    fn drop(&mut self) {
        self.0.state().awaits_oom = false;
    }
}
