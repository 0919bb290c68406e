//! The containers of this guest, and what can be done with them.

mod process;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::Serialize;
use virtcontainers_agent_proto::agent::StatsContainerResponse;

use self::process::Nascent;
use super::cgroup::{Cgroup, DeviceProgram, Hierarchy, OomWatch};
use super::error::{EngineError, ErrorKind, Result, Step as _};
pub(crate) use super::plan::SharedNamespaces;
use super::plan::{self, Circumstances, ProcessPlan, TerminalPlan};
use super::spawner::{Order, Spawner};
use super::wire::Role;

/// How long processes that were killed, or frozen, may take to be so.
const OBEDIENCE: Duration = Duration::from_secs(10);

/// The container's ends of the standard streams.
#[derive(Debug)]
pub(crate) enum Stdio {
    /// Three pipes, files or sockets.
    Pipes {
        /// Read by the program.
        stdin: OwnedFd,
        /// Written by the program.
        stdout: OwnedFd,
        /// Written by the program.
        stderr: OwnedFd,
    },
    /// A new terminal in the container's devpts, which becomes its controlling one.
    Terminal {
        /// Rows and columns, where known.
        size: Option<(u16, u16)>,
    },
}

impl Stdio {
    fn terminal(&self) -> Option<TerminalPlan> {
        match self {
            Self::Pipes { .. } => None,
            Self::Terminal { size } => Some(TerminalPlan { size: *size }),
        }
    }
}

/// A process that was made.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Its number in the agent's pid namespace. It is a child of the agent, which reaps it.
    pub(crate) pid: i32,
    /// The agent's end of its terminal, if it has one.
    pub(crate) terminal: Option<OwnedFd>,
}

/// Makes and ends containers. A clone is the same engine.
///
/// Its futures wait for the kernel and for set-up to be done. Dropped half-way, `create` and
/// `exec` kill and remove what they have begun; `start` leaves a container that counts as
/// started; the others can be called again.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spawner: Spawner,
    run_dir: PathBuf,
    cgroups: Hierarchy,
    containers: Mutex<HashMap<String, Slot>>,
}

#[derive(Debug, Clone)]
enum Slot {
    BeingMade,
    Here(Arc<Container>),
}

#[derive(Debug)]
struct Container {
    cgroup: Cgroup,
    /// The init's pidfd: names it for ever, unlike its number.
    init: OwnedFd,
    /// What execs inherit.
    program: ProcessPlan,
    /// The init, as long as it waits for the start.
    waiting: tokio::sync::Mutex<Option<Nascent>>,
    frozen: Mutex<bool>,
}

impl Engine {
    /// Forks the spawner: to be called once, before the agent has threads, with `/proc` mounted
    /// and the root directory final.
    ///
    /// `run_dir` is the folder whose contents come from the host, `cgroup_root` where the
    /// unified hierarchy is mounted.
    ///
    /// # Errors
    /// When there are threads already, or the kernel refuses.
    pub(crate) fn new(run_dir: PathBuf, cgroup_root: PathBuf) -> std::io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared {
                spawner: Spawner::start()?,
                run_dir,
                cgroups: Hierarchy::new(cgroup_root),
                containers: Mutex::default(),
            }),
        })
    }

    /// Makes a container. Its init has done all that can fail and waits for the start.
    ///
    /// # Errors
    /// Already exists; invalid for a specification that makes no sense or asks for what cannot
    /// be had; internal, with the step, when that fails. Nothing is left then.
    pub(crate) async fn create(
        &self,
        id: &str,
        spec: Spec,
        stdio: Stdio,
        namespaces: SharedNamespaces,
    ) -> Result<Spawned> {
        let taken = self.take(id)?;
        let linux = spec.linux().as_ref();
        let cgroups_path = linux.and_then(|linux| linux.cgroups_path().as_deref());
        let dir = self.shared.cgroups.locate(cgroups_path, id)?;
        let plan = plan::container(
            &spec,
            &Circumstances {
                id,
                shared: &namespaces,
                run_dir: &self.shared.run_dir,
                cgroup: &dir,
                terminal: stdio.terminal(),
            },
        )?;
        let none = LinuxResources::default();
        let resources = linux
            .and_then(|linux| linux.resources().as_ref())
            .unwrap_or(&none);
        let devices = linux
            .and_then(|linux| linux.devices().as_deref())
            .unwrap_or_default();
        let device_program = DeviceProgram::compile(resources, devices)?;
        let cgroup = Undone(Some(self.shared.cgroups.create(&dir, resources)?));
        let join_pid = plan
            .namespaces
            .join_pid
            .as_deref()
            .map(open_namespace)
            .transpose()?;
        let file = memory_file(&plan)?;
        let order = Order {
            role: Role::Init,
            namespaces: plan.namespaces.clone,
            cgroup: cgroup.get()?.folder(),
            join_pid: join_pid.as_ref().map(AsFd::as_fd),
            plan: file.as_fd(),
            pipes: pipes(&stdio),
        };
        let mut nascent = Nascent::new(self.shared.spawner.spawn(&order)?)?;
        drop((stdio, file));
        let (pid, init, terminal) = nascent.ready().await?;
        // Not before: the init has made nodes that its program may not make.
        cgroup.get()?.confine(&device_program)?;
        taken.fill(Container {
            cgroup: cgroup.keep()?,
            init,
            program: plan.process,
            waiting: tokio::sync::Mutex::new(Some(nascent)),
            frozen: Mutex::new(false),
        });
        Ok(Spawned { pid, terminal })
    }

    /// Lets the init run its program; returns when that runs or has failed to.
    ///
    /// A program that is missing or cannot be executed is no error: the init ends with 127 or
    /// 126, after a line on its stderr.
    ///
    /// # Errors
    /// Not found; wrong state when it was started before or its init has ended; internal when a
    /// hook fails or rights cannot be set.
    pub(crate) async fn start(&self, id: &str) -> Result<()> {
        let container = self.get(id)?;
        if *lock(&container.frozen) {
            return Err(EngineError::wrong_state(format!(
                "container {id} is paused"
            )));
        }
        let Some(nascent) = container.waiting.lock().await.take() else {
            return Err(EngineError::wrong_state(format!(
                "container {id} was started before"
            )));
        };
        nascent.go().await
    }

    /// Runs one more process in a container. A program that is missing or cannot be executed is
    /// no error, as for [`Self::start`].
    ///
    /// # Errors
    /// Not found; invalid for a process that makes no sense; wrong state when the container is
    /// paused or its init has ended; internal, with the step.
    pub(crate) async fn exec(
        &self,
        id: &str,
        exec_id: &str,
        process: Process,
        stdio: Stdio,
    ) -> Result<Spawned> {
        let container = self.get(id)?;
        if *lock(&container.frozen) {
            return Err(EngineError::wrong_state(format!(
                "container {id} is paused"
            )));
        }
        let plan = plan::exec(&process, &container.program, stdio.terminal())?;
        let file = memory_file(&plan)?;
        let order = Order {
            role: Role::Exec,
            namespaces: 0,
            cgroup: container.cgroup.folder(),
            join_pid: Some(container.init.as_fd()),
            plan: file.as_fd(),
            pipes: pipes(&stdio),
        };
        let mut nascent = Nascent::new(self.shared.spawner.spawn(&order)?)?;
        drop((stdio, file));
        let within = |error: EngineError| error.within(format!("exec {exec_id}"));
        let (pid, _, terminal) = nascent.ready().await.map_err(within)?;
        nascent.running().await.map_err(within)?;
        Ok(Spawned { pid, terminal })
    }

    /// Sends SIGKILL to all processes of a container, without waiting for their end. That there
    /// is no such container is no error: nothing of it runs.
    ///
    /// # Errors
    /// Internal when the kernel refuses.
    pub(crate) async fn kill_all(&self, id: &str) -> Result<()> {
        match self.get(id) {
            Ok(container) => container.cgroup.kill(),
            Err(_) => Ok(()),
        }
    }

    /// Freezes all processes of a container and waits until they are.
    ///
    /// # Errors
    /// Not found; wrong state when it is paused already; internal.
    pub(crate) async fn pause(&self, id: &str) -> Result<()> {
        let container = self.get(id)?;
        if std::mem::replace(&mut *lock(&container.frozen), true) {
            return Err(EngineError::wrong_state(format!(
                "container {id} is paused already"
            )));
        }
        let frozen = container.cgroup.freeze(true, OBEDIENCE).await;
        if frozen.is_err() {
            *lock(&container.frozen) = false;
            // Not half of them.
            container.cgroup.freeze(false, OBEDIENCE).await?;
        }
        frozen
    }

    /// Thaws all processes of a container; one that is not paused stays as it is.
    ///
    /// # Errors
    /// Not found; internal.
    pub(crate) async fn resume(&self, id: &str) -> Result<()> {
        let container = self.get(id)?;
        container.cgroup.freeze(false, OBEDIENCE).await?;
        *lock(&container.frozen) = false;
        Ok(())
    }

    /// Changes limits; what is not given stays.
    ///
    /// # Errors
    /// Not found; invalid for limits that make no sense; internal when the kernel refuses one.
    pub(crate) async fn update(&self, id: &str, resources: LinuxResources) -> Result<()> {
        self.get(id)?.cgroup.update(&resources)
    }

    /// Reads the counters of a container.
    ///
    /// # Errors
    /// Not found; internal.
    pub(crate) async fn stats(&self, id: &str) -> Result<StatsContainerResponse> {
        let stats = self.get(id)?.cgroup.stats()?;
        Ok(StatsContainerResponse {
            cgroup_stats: Some(stats).into(),
            ..Default::default()
        })
    }

    /// The numbers of a container's processes, in no order, at most `most`.
    ///
    /// # Errors
    /// Not found.
    pub(crate) fn members(&self, id: &str, most: usize) -> Result<Vec<i32>> {
        Ok(self.get(id)?.cgroup.members(most))
    }

    /// Watches for victims of the out-of-memory killer in a container.
    ///
    /// # Errors
    /// Not found; internal when this kernel does not count them.
    pub(crate) fn oom_watch(&self, id: &str) -> Result<OomWatch> {
        self.get(id)?.cgroup.oom_watch()
    }

    /// Kills what is left of a container and removes all that the engine has made for it. That
    /// there is no such container is no error.
    ///
    /// # Errors
    /// Internal when its processes do not end; then it can be called again.
    pub(crate) async fn remove(&self, id: &str) -> Result<()> {
        let Ok(container) = self.get(id) else {
            return Ok(());
        };
        container.cgroup.kill()?;
        container.cgroup.emptied(OBEDIENCE).await?;
        container.cgroup.delete()?;
        let mut containers = self.shared.lock();
        if let Some(Slot::Here(here)) = containers.get(id)
            && Arc::ptr_eq(here, &container)
        {
            containers.remove(id);
        }
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Arc<Container>> {
        match self.shared.lock().get(id) {
            Some(Slot::Here(container)) => Ok(Arc::clone(container)),
            _ => Err(EngineError::new(
                ErrorKind::NotFound,
                format!("no container {id}"),
            )),
        }
    }

    fn take(&self, id: &str) -> Result<Taken<'_>> {
        let mut containers = self.shared.lock();
        if containers.contains_key(id) {
            let message = format!("container {id} exists already");
            return Err(EngineError::new(ErrorKind::AlreadyExists, message));
        }
        containers.insert(id.to_owned(), Slot::BeingMade);
        Ok(Taken {
            shared: &self.shared,
            id: id.to_owned(),
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        lock(&self.containers)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An id taken for a container that is being made; dropped unfilled it is free again.
struct Taken<'a> {
    shared: &'a Shared,
    id: String,
}

impl Taken<'_> {
    fn fill(self, container: Container) {
        self.shared
            .lock()
            .insert(self.id.clone(), Slot::Here(Arc::new(container)));
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut containers = self.shared.lock();
        if matches!(containers.get(&self.id), Some(Slot::BeingMade)) {
            containers.remove(&self.id);
        }
    }
}

/// A cgroup that is removed, with all in it, unless it is kept.
struct Undone(Option<Cgroup>);

impl Undone {
    fn get(&self) -> Result<&Cgroup> {
        self.0
            .as_ref()
            .ok_or_else(|| EngineError::internal("the cgroup is gone"))
    }

    fn keep(mut self) -> Result<Cgroup> {
        self.0
            .take()
            .ok_or_else(|| EngineError::internal("the cgroup is gone"))
    }
}

impl Drop for Undone {
    fn drop(&mut self) {
        if let Some(cgroup) = self.0.take() {
            cgroup.destroy(OBEDIENCE);
        }
    }
}

fn open_namespace(path: &Path) -> Result<OwnedFd> {
    let file = File::open(path).step(|| format!("open the namespace {}", path.display()))?;
    Ok(file.into())
}

fn pipes(stdio: &Stdio) -> Option<[std::os::fd::BorrowedFd<'_>; 3]> {
    match stdio {
        Stdio::Pipes {
            stdin,
            stdout,
            stderr,
        } => Some([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
        Stdio::Terminal { .. } => None,
    }
}

/// A plan in a file that only descriptors lead to.
fn memory_file(plan: &impl Serialize) -> Result<File> {
    let what = || "write the plan".to_owned();
    let bytes = postcard::to_allocvec(plan)
        .map_err(|error| EngineError::internal(format!("write the plan: {error}")))?;
    let mut file =
        File::from(rustix::fs::memfd_create("plan", rustix::fs::MemfdFlags::CLOEXEC).step(what)?);
    file.write_all(&bytes)
        .and_then(|()| file.rewind())
        .step(what)?;
    Ok(file)
}
