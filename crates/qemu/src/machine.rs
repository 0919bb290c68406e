//! A machine that runs, launched by this process or adopted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qapi::qmp::{cont, query_status, quit, stop, system_powerdown};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use virtcontainers_hypervisor::{
    Error, ErrorKind, Machine, MachineEvents, MachineExit, NetworkDeviceHandoff, NetworkDevicePlan,
    SavedMachine,
};
use virtcontainers_types::{AgentEndpoint, PciPath, ProcessIdentity};

use crate::check;
use crate::directory::MachineDirectory;
use crate::error::{of_monitor, of_system};
use crate::event;
use crate::names::CTL_SOCKET;
use crate::plug::Plug;
use crate::program::Programs;
use crate::qmp::{Failure, Monitor};
use crate::saved::Saved;

/// What killed programs get to vanish; the kernel needs it to free their memory.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// A running QEMU. Dropping it leaves the machine running.
pub(crate) struct QemuMachine {
    saved: Saved,
    directory: Arc<MachineDirectory>,
    programs: Arc<Programs>,
    /// The connection to `mon`, in the process that launched the machine. Others connect to `ctl`
    /// for each operation, since a monitor serves one client at a time.
    monitor: Option<Monitor>,
    progress: watch::Receiver<Progress>,
    watcher: JoinHandle<()>,
}

/// How far the end of the machine has come.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// The first program that ended. The others are being killed.
    exit: Option<MachineExit>,
    /// All have ended, and ours are reaped.
    all_ended: bool,
}

/// A connection for one operation.
enum Session<'a> {
    Kept(&'a Monitor),
    Own(Monitor),
}

impl Session<'_> {
    const fn monitor(&self) -> &Monitor {
        match self {
            Self::Kept(monitor) => monitor,
            Self::Own(monitor) => monitor,
        }
    }
}

impl QemuMachine {
    /// A machine that this process launched. Needs a tokio runtime.
    pub(crate) fn launched(
        programs: Programs,
        directory: Arc<MachineDirectory>,
        saved: Saved,
        monitor: Monitor,
    ) -> Self {
        Self::new(programs, directory, saved, Some(monitor))
    }

    /// A machine that another process launched. Needs a tokio runtime.
    pub(crate) fn adopted(
        programs: Programs,
        directory: Arc<MachineDirectory>,
        saved: Saved,
    ) -> Self {
        Self::new(programs, directory, saved, None)
    }

    fn new(
        programs: Programs,
        directory: Arc<MachineDirectory>,
        saved: Saved,
        monitor: Option<Monitor>,
    ) -> Self {
        let programs = Arc::new(programs);
        let (sender, progress) = watch::channel(Progress::default());
        let watcher = tokio::spawn(watch_programs(Arc::clone(&programs), sender));
        Self {
            saved,
            directory,
            programs,
            monitor,
            progress,
            watcher,
        }
    }

    async fn session(&self) -> Result<Session<'_>, Error> {
        if let Some(monitor) = &self.monitor {
            return Ok(Session::Kept(monitor));
        }
        let connected = self.directory.connect(CTL_SOCKET).await;
        let stream = connected.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => {
                Error::new(ErrorKind::Gone, "the machine has ended").with_source(error)
            }
            _ => of_system("cannot connect to the machine", error),
        })?;
        let deadline = self.saved.command_deadline;
        let negotiated = Monitor::negotiate(stream, CTL_SOCKET, deadline).await;
        let monitor =
            negotiated.map_err(|failure| of_monitor("cannot talk to the machine", failure))?;
        Ok(Session::Own(monitor))
    }

    const fn plug<'a>(&self, session: &'a Session<'_>) -> Plug<'a> {
        Plug {
            monitor: session.monitor(),
            deadline: self.saved.command_deadline,
        }
    }

    /// Halts or lets go, after a look at whether that is due. Between look and command another
    /// process may act; both commands are harmless then.
    async fn switch(&self, operation: &str, to: Cpus) -> Result<(), Error> {
        let deadline = self.saved.command_deadline;
        let failed = |failure| of_monitor(format!("cannot {operation} the machine"), failure);
        let session = self.session().await?;
        let monitor = session.monitor();
        let status = monitor.execute(query_status {}, deadline).await;
        let is_running = status.map_err(failed)?.running;
        let done = match (to, is_running) {
            (Cpus::Halted, true) => monitor.execute(stop {}, deadline).await,
            (Cpus::Running, false) => monitor.execute(cont {}, deadline).await,
            (Cpus::Halted, false) | (Cpus::Running, true) => {
                let message = format!("cannot {operation} the machine: it is {to} already");
                return Err(Error::new(ErrorKind::WrongState, message));
            }
        };
        done.map(drop).map_err(failed)
    }

    /// Asks QEMU to quit. That it is gone, or will not answer, is found out by waiting for its end.
    async fn ask_to_quit(&self, deadline: Duration) {
        let asking = async {
            let session = self.session().await?;
            let asked = session.monitor().execute(quit {}, deadline).await;
            match asked {
                Ok(_) | Err(Failure::Gone(_)) => Ok(()),
                Err(failure) => Err(of_monitor("cannot ask qemu to quit", failure)),
            }
        };
        match tokio::time::timeout(deadline, asking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "qemu was not asked to quit"),
            Err(_elapsed) => tracing::debug!("qemu does not answer"),
        }
    }

    async fn until(&self, reached: impl FnMut(&Progress) -> bool) -> Option<Progress> {
        let mut progress = self.progress.clone();
        let seen = progress.wait_for(reached).await;
        // Fails when the watcher was stopped, with the runtime.
        seen.ok().map(|progress| progress.clone())
    }
}

/// What the CPUs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cpus {
    Halted,
    Running,
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Halted => "paused",
            Self::Running => "running",
        })
    }
}

/// Waits for the first end, takes the rest along, and tells both.
async fn watch_programs(programs: Arc<Programs>, progress: watch::Sender<Progress>) {
    let exit = programs.first_end().await;
    tracing::debug!(%exit, "the machine ends");
    if let Err(error) = programs.kill() {
        tracing::warn!(%error, "a program of a machine that ended is left");
    }
    progress.send_modify(|progress| progress.exit = Some(exit));
    programs.all_ended().await;
    progress.send_modify(|progress| progress.all_ended = true);
}

#[async_trait]
impl Machine for QemuMachine {
    async fn pause(&self) -> Result<(), Error> {
        self.switch("pause", Cpus::Halted).await
    }

    async fn resume(&self) -> Result<(), Error> {
        self.switch("resume", Cpus::Running).await
    }

    async fn power_down(&self) -> Result<(), Error> {
        let session = self.session().await?;
        let pressed = session
            .monitor()
            .execute(system_powerdown {}, self.saved.command_deadline)
            .await;
        pressed
            .map(drop)
            .map_err(|failure| of_monitor("cannot power down the machine", failure))
    }

    async fn shutdown(&self, deadline: Duration) -> Result<(), Error> {
        let end = Instant::now() + deadline;
        if self.progress.borrow().exit.is_none() {
            self.ask_to_quit(deadline).await;
        }
        let all_ended = || self.until(|progress| progress.all_ended);
        if tokio::time::timeout_at(end, all_ended()).await.is_err() {
            tracing::warn!("qemu did not quit in time and is killed");
            self.programs.kill()?;
            let killed = tokio::time::timeout(AFTER_KILL, all_ended()).await;
            killed.map_err(|_elapsed| {
                let message = "killed programs of the machine have not vanished";
                Error::new(ErrorKind::Timeout, message)
            })?;
        }
        self.directory
            .remove_sockets()
            .map_err(|error| of_system("cannot remove the machine's sockets", error))
    }

    fn kill(&self) -> Result<(), Error> {
        self.programs.kill()
    }

    async fn add_network_device(
        &self,
        device: &NetworkDevicePlan,
        handoff: NetworkDeviceHandoff,
    ) -> Result<Option<PciPath>, Error> {
        device.check()?;
        check::hot_network_device(device)?;
        handoff.check(device)?;
        check::descriptors(&handoff)?;
        let session = self.session().await?;
        let added = self.plug(&session).add(device, handoff).await;
        added.map(Some)
    }

    async fn remove_network_device(&self, id: &str) -> Result<(), Error> {
        let session = self.session().await?;
        self.plug(&session).remove(id).await
    }

    fn events(&self) -> Result<MachineEvents, Error> {
        let Some(monitor) = &self.monitor else {
            let message = "only the process that launched a machine has its events";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let subscription = monitor.events().map(event::subscription);
        subscription.ok_or_else(|| Error::new(ErrorKind::Gone, "the machine has ended"))
    }

    fn agent_endpoint(&self) -> AgentEndpoint {
        self.saved.endpoint.clone()
    }

    fn processes(&self) -> Vec<ProcessIdentity> {
        self.programs.identities()
    }

    fn save(&self) -> SavedMachine {
        self.saved.to_port()
    }

    async fn wait(&self) -> MachineExit {
        let progress = self.until(|progress| progress.exit.is_some()).await;
        match progress.and_then(|progress| progress.exit) {
            Some(exit) => exit,
            // The watcher ends early only with the runtime, and then nobody waits; should it ever
            // be otherwise, the answer comes from the programs themselves.
            None => self.programs.first_end().await,
        }
    }
}

impl Drop for QemuMachine {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl fmt::Debug for QemuMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QemuMachine")
            .field("saved", &self.saved)
            .field("adopted", &self.monitor.is_none())
            .finish_non_exhaustive()
    }
}
