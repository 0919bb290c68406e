//! The supervisor's side of stand-ins: each keeps a stream on which it is told how its process
//! ended. Whoever leaves before has the process killed.

use std::os::fd::OwnedFd;
use std::pin::pin;

use virtcontainers_agent::ProcessRef;
use virtcontainers_types::{ContainerId, ExecId};

use super::KILLED;
use super::control::{Exec, Receiver, Report, Request, Sender};
use super::inbox::{Desk, Guest, Wish, exits, watch};
use crate::clock;
use crate::error::{Context, Error};
use crate::exec::{ExecProcess, ExecRequest};
use crate::options::ContainerIo;

const SIGKILL: u32 = 9;

/// What a stand-in will stand for.
#[derive(Debug)]
pub(super) enum Asked {
    Container {
        container: ContainerId,
        terminal: bool,
    },
    Exec(Box<Exec>),
}

impl Asked {
    /// Gives any other request back.
    pub(super) fn of(request: Request) -> Result<Self, Box<Request>> {
        match request {
            Request::Watch {
                container,
                terminal,
                stood_for: true,
            } => Ok(Self::Container {
                container,
                terminal,
            }),
            Request::Exec(exec) => Ok(Self::Exec(exec)),
            other => Err(Box::new(other)),
        }
    }
}

/// Serves a stand-in to the end of its process.
pub(super) async fn serve(
    asked: Asked,
    [stdin, stdout, stderr]: [Option<OwnedFd>; 3],
    mut line: (Receiver, Sender),
    desk: &Desk,
) {
    let Some((_present, guest)) = desk.presence().zip(desk.news.guest.get()) else {
        return;
    };
    let io = ContainerIo::new(stdin, stdout, stderr);
    let served = match asked {
        Asked::Container {
            container,
            terminal,
        } => serve_container(container, terminal, io, &mut line, desk, guest).await,
        Asked::Exec(exec) => serve_exec(*exec, io, &mut line, desk, guest).await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a stand-in is not served");
    }
    desk.wishes.send(Wish::Stirred).await.unwrap_or_default();
}

async fn serve_container(
    container: ContainerId,
    terminal: bool,
    io: ContainerIo,
    line: &mut (Receiver, Sender),
    desk: &Desk,
    guest: &Guest,
) -> Result<(), Error> {
    watch(&desk.wishes, container.clone(), terminal, io).await?;
    line.1.send(&Report::Done).await?;
    let ended = async {
        let exits = exits(&desk.news, |ended| ended.exits.contains_key(&container)).await;
        exits
            .get(&container)
            .map_or_else(|| left_behind(desk), |status| Report::Ended(*status))
    };
    attend(line, guest, &ProcessRef::init(container.clone()), ended).await
}

async fn serve_exec(
    exec: Exec,
    io: ContainerIo,
    line: &mut (Receiver, Sender),
    desk: &Desk,
    guest: &Guest,
) -> Result<(), Error> {
    let process = match start(exec, io, guest).await {
        Ok(process) => process,
        Err(error) => return line.1.send(&Report::Failed(error.to_wire())).await,
    };
    line.1.send(&Report::Done).await?;
    desk.wishes.send(Wish::Stirred).await.unwrap_or_default();
    let reference = process.reference().clone();
    let ended = async {
        tokio::select! {
            biased;
            status = process.wait() => match status {
                Ok(status) => Report::Ended(status),
                Err(_) => {
                    // Why is known in a moment.
                    exits(&desk.news, |_| false).await;
                    left_behind(desk)
                }
            },
            _ = exits(&desk.news, |_| false) => left_behind(desk),
        }
    };
    attend(line, guest, &reference, ended).await
}

async fn start(exec: Exec, io: ContainerIo, guest: &Guest) -> Result<ExecProcess, Error> {
    let Exec { container, process } = exec;
    let id = ExecId::new(format!("exec-{}", &clock::nonce()?[..12]))
        .during(|| "cannot name a process".to_owned())?;
    let request = ExecRequest {
        container,
        process,
        io,
    };
    ExecProcess::start(guest.agent.clone(), &guest.facts, id, request).await
}

/// How a process ended whose own end was not seen, when its sandbox is at its end.
fn left_behind(desk: &Desk) -> Report {
    match &desk.news.ended.borrow().lost {
        Some(why) => Report::Lost(why.clone()),
        None => Report::Ended(KILLED),
    }
}

/// Passes on what the stand-in says, and tells it the end once it is there.
async fn attend(
    (receiver, sender): &mut (Receiver, Sender),
    guest: &Guest,
    process: &ProcessRef,
    ended: impl Future<Output = Report>,
) -> Result<(), Error> {
    let mut ended = pin!(ended);
    let mut present = false;
    let mut report = None;
    loop {
        if present && let Some(report) = report.take() {
            return sender.send(&report).await;
        }
        tokio::select! {
            end = &mut ended, if report.is_none() => report = Some(end),
            request = receiver.next::<Request>() => match request {
                Ok(Some(Request::Stand)) => present = true,
                Ok(Some(Request::Resize { rows, columns })) => {
                    let resized = guest.agent.tty_win_resize(process, rows, columns).await;
                    if let Err(error) = resized {
                        tracing::debug!(%error, %process, "the terminal is not resized");
                    }
                }
                Ok(Some(Request::Signal { signal })) => {
                    if let Err(error) = guest.agent.signal_process(process, signal).await {
                        tracing::debug!(%error, %process, signal, "not sent");
                    }
                }
                // Who speaks out of turn stands for nothing any more, either.
                Ok(Some(_) | None) | Err(_) => {
                    if report.is_none() {
                        kill(guest, process).await;
                        // Its streams are carried to the end.
                        ended.await;
                    }
                    return Ok(());
                }
            },
        }
    }
}

async fn kill(guest: &Guest, process: &ProcessRef) {
    tracing::info!(%process, "killed, since nobody stands for it any more");
    let killed = match process.exec() {
        Some(_) => guest.agent.signal_process(process, SIGKILL).await,
        None => guest.agent.kill_all(process.container()).await,
    };
    if let Err(error) = killed {
        tracing::debug!(%error, %process, "cannot be killed");
    }
}
