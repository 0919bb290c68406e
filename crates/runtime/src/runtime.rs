//! The runtime: the operations on sandboxes, each of which stands alone.
//!
//! An operation takes the sandbox's lease, loads it, acts, stores and releases; nothing is kept
//! between operations, so any process may carry out the next one.

use std::sync::Arc;

use tracing::instrument;
use virtcontainers_hypervisor::Backend;
use virtcontainers_store::{Blob, BootId, FileStore, Lease, LeaseMode, Record};
use virtcontainers_types::{
    Command, ContainerState, Deadlines, Decision, Fact, Input, ProcessIdentity, SandboxConfig,
    SandboxId, SandboxState, SandboxStatus, decide,
};

use crate::boot::Phase;
use crate::clock;
use crate::error::{Context, Error, ErrorKind};
use crate::host::Host;
use crate::options::{CreateOptions, RuntimeOptions};
use crate::paths::Layout;
use crate::plan;
use crate::recover::{make_machine_directory, refused};
use crate::sandbox::Sandbox;
use crate::supervisor::control::{Begin, Up};
use crate::supervisor::{self, Hosting, SupervisorStart, console};
use crate::undo::Extent;

/// One entry of a list of sandboxes.
#[derive(Debug)]
pub struct Listed {
    /// The sandbox; absent for something that does not belong in the state root.
    pub id: Option<SandboxId>,
    /// What it is doing, or why that cannot be told.
    pub status: Result<SandboxStatus, Error>,
}

/// Runs containers in virtual machines. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) host: Arc<Host>,
}

impl Runtime {
    /// A runtime that keeps its state under `options.root` and makes machines with `backend`.
    ///
    /// Errors: `Denied` without root privileges; `Invalid` for a root that is not absolute.
    pub fn new(options: RuntimeOptions, backend: Arc<dyn Backend>) -> Result<Self, Error> {
        if !options.root.is_absolute() {
            let root = options.root.display();
            let message = format!("the state root {root} is not absolute: write the whole path");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if !rustix::process::geteuid().is_root() {
            let message = "virtual machines need root privileges for namespaces and mounts: run \
                           this as root";
            return Err(Error::new(ErrorKind::Denied, message));
        }
        let boot = BootId::current().during(|| "cannot tell the boot of this host".to_owned())?;
        let host = Host {
            store: Arc::new(FileStore::new(&options.root, boot)),
            layout: Layout::new(options.root),
            backend,
            daemon: options.share,
            deadline_factor: options.deadline_factor,
            supervision: options.supervision,
        };
        Ok(Self {
            host: Arc::new(host),
        })
    }

    /// Makes a sandbox and creates its containers; none of their programs runs yet.
    ///
    /// Errors: `Invalid`, `NotFound`, `Unsupported` for what can be foreseen, `AlreadyExists` for an
    /// id in use; of a boot that failed `Gone` or `Timeout` with a
    /// [`BootReport`](crate::BootReport). Nothing is left then. Dropping the future gives the
    /// creation up: its supervisor undoes it; [`delete_sandbox`](Self::delete_sandbox) waits for that.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %config.id))]
    pub async fn create_sandbox(
        &self,
        config: SandboxConfig,
        options: CreateOptions,
    ) -> Result<Sandbox, Error> {
        let id = config.id.clone();
        self.make(config, options, false)
            .await
            .map_err(|error| error.of(&id))
    }

    /// Makes a sandbox and starts its containers, in one go. Errors and dropping: as
    /// [`create_sandbox`](Self::create_sandbox).
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %config.id))]
    pub async fn run_sandbox(
        &self,
        config: SandboxConfig,
        options: CreateOptions,
    ) -> Result<Sandbox, Error> {
        let id = config.id.clone();
        self.make(config, options, true)
            .await
            .map_err(|error| error.of(&id))
    }

    async fn make(
        &self,
        config: SandboxConfig,
        options: CreateOptions,
        start: bool,
    ) -> Result<Sandbox, Error> {
        let host = &self.host;
        let CreateOptions {
            io,
            attachment,
            progress,
        } = options;
        let plan = plan::plan(
            &config,
            &host.layout,
            host.backend.as_ref(),
            host.deadline_factor,
            clock::nonce()?,
            attachment,
        )?;
        plan::check(&config, &plan, host.backend.as_ref(), &host.daemon)?;
        let deadlines = plan.machine.deadlines;
        let mut lease = self.claim(&config, &plan, deadlines).await?;

        let begin = Begin {
            config,
            plan,
            start,
        };
        let made = async {
            make_machine_directory(&lease, &begin.plan.machine.directory)?;
            let clock = std::time::Instant::now();
            let starting = supervisor::start(host, &lease.ledger(), begin.clone(), io).await?;
            progress.completed(Phase::Supervisor, clock.elapsed());
            let identity = starting.identity;
            let (up, held) = starting.up(&progress).await?;
            Ok::<_, Error>((identity, up, held))
        };
        match made.await {
            Ok((supervisor, up, held)) => {
                let record = up_record(lease.record(), supervisor, up, start);
                lease
                    .commit(record)
                    .during(|| "cannot store the sandbox".to_owned())?;
                let id = begin.config.id.clone();
                Ok(Sandbox::new(
                    self.clone(),
                    id,
                    begin.plan.machine.directory,
                    Some(held),
                ))
            }
            Err(error) => {
                // The supervisor has undone its part, unless it died.
                if let Err(left) = self.undo(lease, Extent::Delete, deadlines).await {
                    tracing::error!(%left, "a failed creation is not wholly cleaned up");
                }
                Err(error)
            }
        }
    }

    /// Takes the id: a durable record in the state `creating`.
    async fn claim(
        &self,
        config: &SandboxConfig,
        plan: &plan::SandboxPlan,
        deadlines: Deadlines,
    ) -> Result<Lease, Error> {
        let Decision::Become(state) = decide(None, Input::Command(Command::Create)) else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a new sandbox has no state",
            ));
        };
        let mut record = Record::new(
            state,
            config.clone(),
            self.host.backend.name(),
            clock::unix_millis(),
        );
        record.plan = Some(plan.to_blob()?);
        record.containers = crate::sandbox::created_containers(config);
        let store = Arc::clone(&self.host.store);
        let id = config.id.clone();
        let failed = {
            let id = id.clone();
            move || format!("cannot create sandbox {id}")
        };
        self.recover_orphan(&id, deadlines).await?;
        blocking(move || {
            let claim = store.create(&id, "create", deadlines.lock).during(failed)?;
            claim
                .commit(record)
                .during(|| format!("cannot store sandbox {id}"))
        })
        .await
    }

    /// Starts the containers of a sandbox that is `ready`.
    ///
    /// Errors: `NotFound`; `WrongState` with the states that allow it; `Gone` when the guest is lost.
    /// Dropping the future may leave the containers started and the record saying otherwise; start
    /// again.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn start_sandbox(&self, id: &SandboxId) -> Result<(), Error> {
        let mut lease = self.open(id, LeaseMode::Exclusive, "start").await?;
        let mut record = lease.record().clone();
        let state = match decide(Some(record.state), Input::Command(Command::Start)) {
            Decision::Become(state @ SandboxState::Running) => state,
            Decision::Become(_) => {
                let message = format!(
                    "sandbox {id} is stopped; restarting it is not supported yet: create it anew"
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            Decision::Refuse { wanted } => {
                return Err(refused(Command::Start, id, record.state, wanted));
            }
            Decision::Stay | Decision::StopFirst | Decision::Remove => return Ok(()),
        };
        let agent = self.connect_agent(&record).await?;
        for container in &mut record.containers {
            use virtcontainers_agent::AgentPort as _;
            agent
                .start_container(&container.id)
                .await
                .during(|| format!("the guest cannot start container {}", container.id))?;
            container.state = ContainerState::Running;
        }
        record.state = state;
        lease
            .commit(record)
            .during(|| format!("cannot store sandbox {id}"))
    }

    /// A handle on a sandbox that exists.
    ///
    /// Errors: `NotFound`; `Corrupt` and `Incompatible` when its record cannot be read.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn fetch_sandbox(&self, id: &SandboxId) -> Result<Sandbox, Error> {
        self.status_sandbox(id).await?;
        Ok(Sandbox::new(
            self.clone(),
            id.clone(),
            self.host.layout.machine(id),
            None,
        ))
    }

    /// What a sandbox is doing. One whose supervisor died is cleaned up first, and then `failed`.
    ///
    /// Errors: as [`fetch_sandbox`](Self::fetch_sandbox). Safe to drop.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn status_sandbox(&self, id: &SandboxId) -> Result<SandboxStatus, Error> {
        self.recover_orphan(id, self.deadlines()).await?;
        let store = Arc::clone(&self.host.store);
        let id = id.clone();
        blocking(move || {
            let summary = store
                .peek(&id)
                .during(|| format!("cannot find sandbox {id}"))?;
            Ok(summary.into_status())
        })
        .await
    }

    /// All sandboxes, each with its status or with why that cannot be told. Safe to drop.
    ///
    /// Errors: `Internal` when the state root cannot be read.
    #[instrument(skip_all, fields(subsystem = "sandbox"))]
    pub async fn list_sandboxes(&self) -> Result<Vec<Listed>, Error> {
        let store = Arc::clone(&self.host.store);
        let listed = blocking(move || {
            store
                .list()
                .during(|| "cannot list the sandboxes".to_owned())
        })
        .await?;
        let mut all = Vec::with_capacity(listed.len());
        for entry in listed {
            match entry {
                Ok(id) => match self.status_sandbox(&id).await {
                    // It was deleted while we looked.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    status => all.push(Listed {
                        id: Some(id),
                        status,
                    }),
                },
                Err(error) => {
                    let kind = error.kind();
                    let broken = Error::new(kind, "an entry of the state root").because(error);
                    all.push(Listed {
                        id: None,
                        status: Err(broken),
                    });
                }
            }
        }
        Ok(all)
    }

    /// Ends a sandbox's machine and undoes all that was made for it; the record stays.
    ///
    /// Succeeds on one that is stopped. Errors: `NotFound`, `Timeout`, `Internal` naming what could
    /// not be undone. Dropping the future leaves a sandbox that is `stopping`; call again.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), Error> {
        let mut lease = self.lease(id, LeaseMode::Exclusive, "stop").await?;
        let mut record = lease.record().clone();
        match decide(Some(record.state), Input::Command(Command::Stop)) {
            Decision::Become(state) => record.state = state,
            Decision::Stay | Decision::StopFirst | Decision::Remove => return Ok(()),
            Decision::Refuse { wanted } => {
                return Err(refused(Command::Stop, id, record.state, wanted));
            }
        }
        lease
            .commit(record)
            .during(|| format!("cannot store sandbox {id}"))?;
        self.take_down(&mut lease).await
    }

    /// Removes a sandbox. One that is `ready` or `paused` is stopped first; with `force` any is.
    ///
    /// Errors: `NotFound`; `WrongState` without force while it runs; otherwise as
    /// [`stop_sandbox`](Self::stop_sandbox). Dropping the future leaves a sandbox that can be
    /// deleted again.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn delete_sandbox(&self, id: &SandboxId, force: bool) -> Result<(), Error> {
        let deadlines = self.deadlines();
        self.recover_orphan(id, deadlines).await?;
        loop {
            let lease = match self.lease(id, LeaseMode::Exclusive, "delete").await {
                Err(error)
                    if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible) =>
                {
                    return self.salvage(id, deadlines).await;
                }
                lease => lease?,
            };
            let state = lease.record().state;
            match decide(Some(state), Input::Command(Command::Delete)) {
                Decision::Remove => return self.undo(lease, Extent::Delete, deadlines).await,
                Decision::Refuse { wanted } if !force => {
                    return Err(refused(Command::Delete, id, state, wanted));
                }
                Decision::StopFirst | Decision::Refuse { .. } => {
                    drop(lease);
                    self.stop_sandbox(id).await?;
                }
                Decision::Become(_) | Decision::Stay => return Ok(()),
            }
        }
    }

    /// The guest's console as it was kept: at most the last 512 KiB.
    ///
    /// Errors: `NotFound` for an unknown sandbox.
    pub async fn console(&self, id: &SandboxId) -> Result<Vec<u8>, Error> {
        self.fetch_sandbox(id).await?;
        Ok(console::read(&self.host.layout.machine(id)))
    }

    /// Supervises the sandbox that this process was started for, to its end.
    ///
    /// Errors: `Incompatible` when the creator does not begin as expected.
    pub async fn supervise(&self, start: SupervisorStart) -> Result<(), Error> {
        let (control, io) = start.into_parts()?;
        supervisor::supervise(&self.host, control, io, Hosting::Process).await
    }

    /// The deadlines of this runtime's sandboxes.
    pub fn deadlines(&self) -> Deadlines {
        plan::deadlines(self.host.backend.as_ref(), self.host.deadline_factor)
    }
}

/// The record of a sandbox that came up.
fn up_record(record: &Record, supervisor: ProcessIdentity, up: Up, started: bool) -> Record {
    let mut record = record.clone();
    let inputs = [Input::Fact(Fact::BootDone), Input::Command(Command::Start)];
    for input in inputs.into_iter().take(if started { 2 } else { 1 }) {
        if let Decision::Become(state) = decide(Some(record.state), input) {
            record.state = state;
        }
    }
    if started {
        for container in &mut record.containers {
            container.state = ContainerState::Running;
        }
    }
    record.supervisor = Some(supervisor);
    record.machine = Some(Blob {
        version: up.machine.version,
        data: up.machine.data,
    });
    record.guest = Some(up.facts);
    record
}

/// Runs what blocks where that is allowed. Dropping the future does not stop it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "a blocking step died").because(error))?
}
