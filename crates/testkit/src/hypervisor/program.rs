//! The inside of the program that is a machine.

mod relay;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use virtcontainers_hypervisor::{Error, NetworkDevicePlan};
use virtcontainers_types::PciPath;

use super::devices::{self, NetworkDevices};
use super::power::Power;
use super::process::{AGENT_SOCKET, FakeMachineSetup, Request, refusal_line};
use crate::agent::{FakeAgent, Flavor, Output, Program};

/// The main function of `vc-fake-machine`: its only argument is a [`FakeMachineSetup`] in JSON, its
/// standard input is the listening socket on which it takes commands, and it works in the machine's
/// directory. Returns when it was told to end.
pub fn fake_machine() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vc-fake-machine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let setup = std::env::args().nth(1).unwrap_or_default();
    let setup: FakeMachineSetup = serde_json::from_str(&setup)?;
    let control: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let control = std::os::unix::net::UnixListener::from(control);
    control.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let control = UnixListener::from_std(control)?;
        let machine = Arc::new(Inside::new(setup));
        let mut power = machine.power.subscribe();
        let serving = async {
            loop {
                let (stream, _) = control.accept().await?;
                tokio::spawn(Arc::clone(&machine).obey(stream));
            }
        };
        tokio::select! {
            failed = serving => failed,
            _ = power.wait_for(|power| *power == Power::Ended) => Ok(()),
        }
    })
}

/// The machine as it sees itself.
#[derive(Debug)]
struct Inside {
    id: String,
    power: watch::Sender<Power>,
    agent: FakeAgent,
    devices: Mutex<NetworkDevices>,
    most_devices: u8,
    reports: Option<PathBuf>,
    /// How many violations were reported.
    reported: Mutex<usize>,
}

impl Inside {
    fn new(setup: FakeMachineSetup) -> Self {
        let flavor = match setup.exact {
            true => Flavor::Exact,
            false => Flavor::Kata,
        };
        let programs = [
            ("true", Program::new()),
            ("false", Program::new().exit(1)),
            ("hello", Program::new().stdout("hello\n")),
            ("cat", Program::new().cat()),
            ("block", Program::new().block()),
            ("stubborn", Program::new().ignore(15).block()),
            ("flood", Program::new().flood(Output::Stdout, 1 << 20)),
            ("exit-3", Program::new().exit(3)),
        ];
        let mut agent = FakeAgent::builder().flavor(flavor);
        for (name, program) in programs {
            agent = agent.program(name, program);
        }
        for link in &setup.links {
            agent = agent.link(link);
        }
        for device in &setup.network_devices {
            agent = agent.link(&device.mac.to_string());
        }
        Self {
            id: setup.id.to_string(),
            power: watch::Sender::new(Power::Held),
            agent: agent.build(),
            devices: Mutex::new(NetworkDevices::new(&setup.network_devices)),
            most_devices: setup.most_network_devices,
            reports: setup.reports,
            reported: Mutex::new(0),
        }
    }

    /// Serves one connection of a commander.
    async fn obey(self: Arc<Self>, stream: UnixStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line).await {
                Ok(1..) => {}
                _ => return,
            }
            let Ok(request) = line.trim_end().parse::<Request>() else {
                return;
            };
            let mut changes = self.power.subscribe();
            let answer = self.answer(&request);
            // The commander may be gone; the command holds all the same.
            drop(stream.write_all(answer.as_bytes()).await);
            match request {
                Request::Quit => drop(self.power.send_replace(Power::Ended)),
                Request::PowerDown if answer.starts_with("ok") => {
                    self.power.send_replace(Power::Ended);
                }
                Request::Events => return tell(&mut changes, &mut stream).await,
                _ => {}
            }
        }
    }

    /// Executes a command; those that end the machine are executed after the answer.
    fn answer(self: &Arc<Self>, request: &Request) -> String {
        let mut found = Power::Ended;
        self.power.send_if_modified(|power| {
            found = *power;
            match request.turn() {
                Some((from, to)) if *power == from && to != Power::Ended => {
                    *power = to;
                    true
                }
                _ => false,
            }
        });
        let refused = request.turn().is_some_and(|(from, _)| from != found);
        if refused {
            return format!("no {found}\n");
        }
        if *request == Request::Start
            && let Err(error) = self.boot()
        {
            eprintln!("vc-fake-machine: {error}");
            self.power.send_replace(Power::Ended);
            return "no ended\n".to_owned();
        }
        let now = *self.power.borrow();
        let said = match request {
            Request::AddDevice(device) => self.plug(device).map(|path| path.to_string()),
            Request::RemoveDevice(id) => self.unplug(id, now).map(|()| now.to_string()),
            Request::Devices => Ok(self.device_names().join(" ")),
            _ => Ok(now.to_string()),
        };
        match said {
            Ok(said) => format!("ok {said}\n"),
            Err(error) => refusal_line(&error),
        }
    }

    /// The guest sees a device as soon as it is there.
    fn plug(&self, device: &NetworkDevicePlan) -> Result<PciPath, Error> {
        let path = self.devices().add(device, self.most_devices)?;
        self.agent.add_link(&device.mac.to_string());
        Ok(path)
    }

    /// A guest that is halted does not let go.
    fn unplug(&self, id: &str, power: Power) -> Result<(), Error> {
        if power == Power::Paused && self.device_names().iter().any(|name| name == id) {
            return Err(devices::kept(id));
        }
        if let Some(device) = self.devices().remove(id) {
            self.agent.remove_link(&device.mac.to_string());
        }
        Ok(())
    }

    fn device_names(&self) -> Vec<String> {
        let devices = self.devices().list();
        devices.into_iter().map(|device| device.id).collect()
    }

    fn devices(&self) -> MutexGuard<'_, NetworkDevices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest comes up: it writes to its console, and its agent listens.
    fn boot(self: &Arc<Self>) -> io::Result<()> {
        // A console that nobody reads any more does not stop a guest.
        drop(io::stdout().write_all(b"up\n"));
        drop(io::stdout().flush());
        let listener = UnixListener::bind(AGENT_SOCKET)?;
        tokio::spawn(relay::serve(listener, Arc::clone(self)));
        Ok(())
    }

    /// Writes down what was done against the agent's rules since the last time.
    fn report(&self) -> io::Result<()> {
        let Some(folder) = &self.reports else {
            return Ok(());
        };
        let violations = self.agent.violations();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let new = violations.get(*reported..).unwrap_or_default();
        if new.is_empty() {
            return Ok(());
        }
        let lines: String = new
            .iter()
            .map(|violation| format!("{}: {}\n", self.id, violation.replace('\n', " ")))
            .collect();
        let path = folder.join("violations");
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(lines.as_bytes())?;
        *reported = violations.len();
        Ok(())
    }
}

/// Writes every change until nobody listens.
async fn tell(changes: &mut watch::Receiver<Power>, stream: &mut BufReader<UnixStream>) {
    while changes.changed().await.is_ok() {
        let power = *changes.borrow_and_update();
        if stream
            .write_all(format!("{power}\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
    }
}
