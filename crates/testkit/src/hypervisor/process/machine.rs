//! A machine that is a process, launched by us or adopted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use virtcontainers_hypervisor::{
    Error, ErrorKind, Machine, MachineEvent, MachineEvents, MachineExit, NetworkDeviceHandoff,
    NetworkDevicePlan, SavedMachine,
};
use virtcontainers_process::{Child, Exit, Identity, Signal};
use virtcontainers_types::{AgentEndpoint, PciPath, ProcessIdentity};

use super::super::devices;
use super::super::power::{gone, lacks};
use super::super::value::subscription;
use super::FAKE_MACHINE;
use super::control::{self, Request};
use super::directory::MachineDirectory;

/// What a killed process gets to vanish.
const AFTER_KILL: Duration = Duration::from_secs(10);
const VERSION: u32 = 1;

/// A machine, written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) directory: PathBuf,
    pub(super) process: ProcessIdentity,
    pub(super) endpoint: AgentEndpoint,
    pub(super) can_pause: bool,
    #[serde(default)]
    pub(super) can_plug: bool,
}

impl Saved {
    pub(super) fn from_port(saved: &SavedMachine) -> Result<Self, Error> {
        if saved.version != VERSION {
            let message = format!("a machine saved in version {} is not known", saved.version);
            return Err(Error::new(ErrorKind::Incompatible, message));
        }
        serde_json::from_value(saved.data.clone()).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "cannot read a saved machine").with_source(error)
        })
    }
}

type Subscribers = Arc<Mutex<Option<Vec<mpsc::UnboundedSender<MachineEvent>>>>>;

/// A running fake. Dropping it leaves the process running.
#[derive(Debug)]
pub(super) struct ProcessMachine {
    saved: Saved,
    directory: Arc<MachineDirectory>,
    exit: watch::Receiver<Option<MachineExit>>,
    /// In the process that launched the machine; nobody is listed any more when it has ended.
    subscribers: Option<Subscribers>,
    tasks: Vec<JoinHandle<()>>,
}

impl ProcessMachine {
    pub(super) fn launched(
        child: Child,
        directory: Arc<MachineDirectory>,
        saved: Saved,
        events: BufReader<UnixStream>,
    ) -> Self {
        let (sender, exit) = watch::channel(None);
        let reaper = tokio::spawn(async move {
            sender.send_replace(Some(exit_of(child.wait().await.ok())));
        });
        let subscribers: Subscribers = Arc::new(Mutex::new(Some(Vec::new())));
        let teller = tokio::spawn(tell(events, Arc::clone(&subscribers)));
        Self {
            saved,
            directory,
            exit,
            subscribers: Some(subscribers),
            tasks: vec![reaper, teller],
        }
    }

    /// `None` when it does not live any more.
    pub(super) fn adopt(saved: Saved) -> Result<Option<Self>, Error> {
        let internal = |error: virtcontainers_process::Error| {
            Error::new(ErrorKind::Internal, "cannot adopt the machine").with_source(error)
        };
        let Some(watched) = identity(saved.process).open().map_err(internal)? else {
            return Ok(None);
        };
        let Ok(directory) = MachineDirectory::open(&saved.directory) else {
            return Ok(None);
        };
        let (sender, exit) = watch::channel(None);
        let watcher = tokio::spawn(async move {
            drop(watched.gone().await);
            sender.send_replace(Some(exit_of(None)));
        });
        Ok(Some(Self {
            saved,
            directory: Arc::new(directory),
            exit,
            subscribers: None,
            tasks: vec![watcher],
        }))
    }

    async fn turn(&self, verb: &str, request: Request) -> Result<(), Error> {
        if !self.saved.can_pause {
            return Err(lacks(verb));
        }
        control::ask(&self.directory, request).await.map(drop)
    }
}

/// Passes changes on until the machine ends.
async fn tell(mut events: BufReader<UnixStream>, subscribers: Subscribers) {
    let lock = || subscribers.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(event) = control::next_event(&mut events).await {
        if let Some(list) = lock().as_mut() {
            list.retain(|subscriber| subscriber.send(event).is_ok());
        }
    }
    *lock() = None;
}

impl Drop for ProcessMachine {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[async_trait]
impl Machine for ProcessMachine {
    async fn pause(&self) -> Result<(), Error> {
        self.turn("pause", Request::Pause).await
    }

    async fn resume(&self) -> Result<(), Error> {
        self.turn("resume", Request::Resume).await
    }

    async fn power_down(&self) -> Result<(), Error> {
        let asked = control::ask(&self.directory, Request::PowerDown).await;
        asked.map(drop)
    }

    async fn shutdown(&self, deadline: Duration) -> Result<(), Error> {
        let polite = async {
            // When it cannot be asked it has ended, or will be killed.
            drop(control::ask(&self.directory, Request::Quit).await);
            self.wait().await
        };
        if tokio::time::timeout(deadline, polite).await.is_err() {
            self.kill()?;
            let killed = tokio::time::timeout(AFTER_KILL, self.wait()).await;
            killed.map_err(|_elapsed| {
                Error::new(ErrorKind::Timeout, "the killed machine has not vanished")
            })?;
        }
        self.directory.remove_sockets().map_err(|error| {
            let message = "cannot remove the machine's sockets";
            Error::new(ErrorKind::Internal, message).with_source(error)
        })
    }

    fn kill(&self) -> Result<(), Error> {
        let killed = identity(self.saved.process).signal(Signal::KILL);
        killed.map(drop).map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot kill the machine").with_source(error)
        })
    }

    async fn add_network_device(
        &self,
        device: &NetworkDevicePlan,
        handoff: NetworkDeviceHandoff,
    ) -> Result<Option<PciPath>, Error> {
        if !self.saved.can_plug {
            return Err(devices::unable());
        }
        device.check()?;
        // What carries the frames is closed here: nothing in the machine would read them.
        handoff.check(device)?;
        let request = Request::AddDevice(Box::new(device.clone()));
        let place = control::ask_devices(&self.directory, request).await?;
        let path = place
            .parse()
            .map_err(|error: virtcontainers_types::Error| {
                let message = format!("the machine answered {place:?}");
                Error::new(ErrorKind::Corrupt, message).with_source(error)
            })?;
        Ok(Some(path))
    }

    async fn remove_network_device(&self, id: &str) -> Result<(), Error> {
        if !self.saved.can_plug {
            return Err(devices::unable());
        }
        let request = Request::RemoveDevice(id.to_owned());
        let removed = control::ask_devices(&self.directory, request).await;
        removed.map(drop)
    }

    fn events(&self) -> Result<MachineEvents, Error> {
        let Some(subscribers) = &self.subscribers else {
            let message = "only the process that launched a machine has its events";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut list = subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        list.as_mut().ok_or_else(gone)?.push(sender);
        Ok(subscription(receiver))
    }

    fn agent_endpoint(&self) -> AgentEndpoint {
        self.saved.endpoint.clone()
    }

    fn processes(&self) -> Vec<ProcessIdentity> {
        vec![self.saved.process]
    }

    fn save(&self) -> SavedMachine {
        SavedMachine {
            version: VERSION,
            data: serde_json::to_value(&self.saved).unwrap_or_default(),
        }
    }

    async fn wait(&self) -> MachineExit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or_else(|| exit_of(None)),
            // The watcher ends early only with the runtime.
            Err(_) => exit_of(None),
        }
    }
}

pub(super) fn exit_of(exit: Option<Exit>) -> MachineExit {
    let exit = exit.unwrap_or(Exit::Unknown);
    MachineExit {
        program: FAKE_MACHINE.to_owned(),
        reason: exit.to_string(),
        stderr: String::new(),
        expected: exit.is_success(),
    }
}

pub(super) const fn to_types(identity: Identity) -> ProcessIdentity {
    ProcessIdentity {
        pid: identity.pid,
        start_time: identity.start_time,
    }
}

const fn identity(process: ProcessIdentity) -> Identity {
    Identity {
        pid: process.pid,
        start_time: process.start_time,
    }
}
