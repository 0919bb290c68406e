//! How a fake machine is talked to: a line with a command, a line with the answer.

use std::io;
use std::str::FromStr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use virtcontainers_hypervisor::{Error, ErrorKind, MachineEvent, NetworkDevicePlan};

use super::super::power::{Power, gone};
use super::directory::MachineDirectory;
use super::{CONTROL_SOCKET, NAME};

/// A command: a word, and for some what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hypervisor) enum Request {
    /// Tell what the machine is doing.
    Power,
    /// Let the held CPUs run.
    Start,
    /// Halt the CPUs.
    Pause,
    /// Let the halted CPUs go on.
    Resume,
    /// The guest powers off.
    PowerDown,
    /// End.
    Quit,
    /// Tell every change from now on, a line each.
    Events,
    /// Take one more network device; the answer is its place.
    AddDevice(Box<NetworkDevicePlan>),
    /// Let the network device of this name go.
    RemoveDevice(String),
    /// List the names of the network devices.
    Devices,
}

const ADD_DEVICE: &str = "add-device";
const REMOVE_DEVICE: &str = "remove-device";

impl Request {
    const WORDS: [(&str, Self); 8] = [
        ("power", Self::Power),
        ("start", Self::Start),
        ("pause", Self::Pause),
        ("resume", Self::Resume),
        ("power-down", Self::PowerDown),
        ("quit", Self::Quit),
        ("events", Self::Events),
        ("devices", Self::Devices),
    ];

    fn to_line(&self) -> String {
        match self {
            // A struct of text and numbers has a JSON form.
            Self::AddDevice(device) => {
                let device = serde_json::to_string(device).unwrap_or_default();
                format!("{ADD_DEVICE} {device}")
            }
            Self::RemoveDevice(id) => format!("{REMOVE_DEVICE} {id}"),
            word => {
                let found = Self::WORDS.iter().find(|(_, request)| request == word);
                found.map_or("", |(word, _)| word).to_owned()
            }
        }
    }

    /// The state that it needs, and the one that it leads to.
    pub(in crate::hypervisor) const fn turn(&self) -> Option<(Power, Power)> {
        match self {
            Self::Start => Some((Power::Held, Power::Running)),
            Self::Pause => Some((Power::Running, Power::Paused)),
            Self::Resume => Some((Power::Paused, Power::Running)),
            Self::PowerDown => Some((Power::Running, Power::Ended)),
            Self::Power
            | Self::Quit
            | Self::Events
            | Self::AddDevice(_)
            | Self::RemoveDevice(_)
            | Self::Devices => None,
        }
    }
}

impl FromStr for Request {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let nonsense = || format!("{line:?} is no command");
        match line.split_once(' ') {
            Some((ADD_DEVICE, device)) => {
                let device = serde_json::from_str(device).map_err(|_| nonsense())?;
                Ok(Self::AddDevice(device))
            }
            Some((REMOVE_DEVICE, id)) => Ok(Self::RemoveDevice(id.to_owned())),
            _ => {
                let found = Self::WORDS.iter().find(|(word, _)| *word == line);
                found
                    .map(|(_, request)| request.clone())
                    .ok_or_else(nonsense)
            }
        }
    }
}

/// Sends one command over a connection of its own; gives what the machine is doing then.
///
/// Errors: `Gone`, `WrongState`, `Corrupt`.
pub(super) async fn ask(directory: &MachineDirectory, request: Request) -> Result<Power, Error> {
    let (answer, _) = converse(directory, &request).await?;
    let power = answer.parse();
    power.map_err(|_| nonsense(&answer))
}

/// Asks for a change of the network devices, or for a list of them; gives the answer.
///
/// Errors: those of the change; `Gone`, `Corrupt`.
pub(super) async fn ask_devices(
    directory: &MachineDirectory,
    request: Request,
) -> Result<String, Error> {
    let answer = converse(directory, &request).await;
    answer.map(|(answer, _)| answer)
}

/// The machine's changes from now on.
pub(super) async fn events(directory: &MachineDirectory) -> Result<BufReader<UnixStream>, Error> {
    let (_, stream) = converse(directory, &Request::Events).await?;
    Ok(stream)
}

/// The next of the machine's changes; `None` when it has ended.
pub(super) async fn next_event(stream: &mut BufReader<UnixStream>) -> Option<MachineEvent> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    match line.trim_end().parse().ok()? {
        Power::Running => Some(MachineEvent::Resumed),
        Power::Paused => Some(MachineEvent::Paused),
        Power::Held | Power::Ended => None,
    }
}

async fn converse(
    directory: &MachineDirectory,
    request: &Request,
) -> Result<(String, BufReader<UnixStream>), Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => gone().with_source(error),
        _ => Error::new(ErrorKind::Internal, "cannot talk to the machine").with_source(error),
    };
    let mut stream = directory.connect(CONTROL_SOCKET).await.map_err(failed)?;
    let line = format!("{}\n", request.to_line());
    stream.write_all(line.as_bytes()).await.map_err(failed)?;
    let mut stream = BufReader::new(stream);
    let mut answer = String::new();
    stream.read_line(&mut answer).await.map_err(failed)?;
    let answer = answer.trim_end_matches('\n');
    match answer.split_once(' ') {
        Some(("ok", said)) => Ok((said.to_owned(), stream)),
        Some(("no", power)) => {
            let power: Power = power.parse().map_err(|_| nonsense(answer))?;
            let wanted = request.turn().map_or(Power::Running, |(from, _)| from);
            Err(power.refuse(wanted))
        }
        Some(("refused", said)) => Err(refusal(said).ok_or_else(|| nonsense(answer))?),
        // It ended while it was asked.
        None if answer.is_empty() => Err(gone()),
        _ => Err(nonsense(answer)),
    }
}

/// The kinds with which changes of devices are refused.
const REFUSALS: [(&str, ErrorKind); 4] = [
    ("exists", ErrorKind::AlreadyExists),
    ("invalid", ErrorKind::Invalid),
    ("timeout", ErrorKind::Timeout),
    ("gone", ErrorKind::Gone),
];

/// A refusal as an answer.
pub(in crate::hypervisor) fn refusal_line(error: &Error) -> String {
    let found = REFUSALS.iter().find(|(_, kind)| *kind == error.kind());
    let word = found.map_or("invalid", |(word, _)| word);
    format!("refused {word} {error}\n")
}

fn refusal(said: &str) -> Option<Error> {
    let (word, message) = said.split_once(' ')?;
    let (_, kind) = REFUSALS.iter().find(|(known, _)| *known == word)?;
    Some(Error::new(*kind, message))
}

fn nonsense(answer: &str) -> Error {
    let message = format!("{NAME} answered {answer:?}");
    Error::new(ErrorKind::Corrupt, message)
}
