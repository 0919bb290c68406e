//! How a fake machine is talked to: a line with a command, a line with the answer.

use std::io;
use std::str::FromStr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use virtcontainers_hypervisor::{Error, ErrorKind, MachineEvent};

use super::super::power::{Power, gone};
use super::directory::MachineDirectory;
use super::{CONTROL_SOCKET, NAME};

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Request {
    const ALL: [(&str, Self); 7] = [
        ("power", Self::Power),
        ("start", Self::Start),
        ("pause", Self::Pause),
        ("resume", Self::Resume),
        ("power-down", Self::PowerDown),
        ("quit", Self::Quit),
        ("events", Self::Events),
    ];

    fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, request)| *request == self);
        found.map_or("", |(word, _)| word)
    }

    /// The state that it needs, and the one that it leads to.
    pub(in crate::hypervisor) const fn turn(self) -> Option<(Power, Power)> {
        match self {
            Self::Start => Some((Power::Held, Power::Running)),
            Self::Pause => Some((Power::Running, Power::Paused)),
            Self::Resume => Some((Power::Paused, Power::Running)),
            Self::PowerDown => Some((Power::Running, Power::Ended)),
            Self::Power | Self::Quit | Self::Events => None,
        }
    }
}

impl FromStr for Request {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(word, _)| *word == line);
        let found = found.map(|(_, request)| *request);
        found.ok_or_else(|| format!("{line:?} is no command"))
    }
}

/// Sends one command over a connection of its own; gives what the machine is doing then.
///
/// Errors: `Gone`, `WrongState`, `Corrupt`.
pub(super) async fn ask(directory: &MachineDirectory, request: Request) -> Result<Power, Error> {
    converse(directory, request).await.map(|(power, _)| power)
}

/// The machine's changes from now on.
pub(super) async fn events(directory: &MachineDirectory) -> Result<BufReader<UnixStream>, Error> {
    let (_, stream) = converse(directory, Request::Events).await?;
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
    request: Request,
) -> Result<(Power, BufReader<UnixStream>), Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => gone().with_source(error),
        _ => Error::new(ErrorKind::Internal, "cannot talk to the machine").with_source(error),
    };
    let mut stream = directory.connect(CONTROL_SOCKET).await.map_err(failed)?;
    let line = format!("{}\n", request.as_str());
    stream.write_all(line.as_bytes()).await.map_err(failed)?;
    let mut stream = BufReader::new(stream);
    let mut answer = String::new();
    stream.read_line(&mut answer).await.map_err(failed)?;
    let nonsense = || {
        let message = format!("{NAME} answered {answer:?}");
        Error::new(ErrorKind::Corrupt, message)
    };
    match answer.trim_end().split_once(' ') {
        Some(("ok", power)) => Ok((power.parse().map_err(|_| nonsense())?, stream)),
        Some(("no", power)) => {
            let power: Power = power.parse().map_err(|_| nonsense())?;
            let wanted = request.turn().map_or(Power::Running, |(from, _)| from);
            Err(power.refuse(wanted))
        }
        // It ended while it was asked.
        None if answer.is_empty() => Err(gone()),
        _ => Err(nonsense()),
    }
}
