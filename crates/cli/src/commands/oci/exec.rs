//! `vc exec`: a further process in a container that runs.

use std::pin::pin;
use std::process::ExitCode;

use anyhow::bail;
use virtcontainers::{ContainerIo, ExecRequest};

use super::console::{Console, send_master};
use super::found::Found;
use super::pid_file::PidFile;
use super::process;
use crate::args::Global;
use crate::args::oci::Exec;
use crate::signals::Incoming;
use crate::terminal::{Raw, Resizes};

pub(crate) async fn run(global: &Global, exec: Exec) -> anyhow::Result<ExitCode> {
    // From here on, signals are for the process.
    let signals = (!exec.detach).then(Incoming::listen).transpose()?;
    let found = Found::of(global, &exec.id).await?;
    refuse(&found)?;
    let pid_file = exec.pid_file.as_deref().map(PidFile::at).transpose()?;
    let process = process::of_exec(&exec, &found.config().await?)?;
    note_labels(&exec);
    let terminal = process.terminal() == Some(true);
    let console = Console::choose(exec.console_socket.as_deref(), terminal, !exec.detach)?;
    let io = match console {
        Console::Socket(socket) => ContainerIo::terminal(send_master(socket)?)?,
        Console::None | Console::Own => ContainerIo::inherit()?,
    };
    let request = ExecRequest {
        container: found.id().clone(),
        process,
        io,
    };
    match signals {
        None => leave(&found, request, pid_file).await,
        Some(signals) => stay(&found, request, pid_file, terminal, signals).await,
    }
}

/// A command that runs as the container's own process does; this command stays with it.
pub(super) async fn command(found: &Found, words: Vec<String>) -> anyhow::Result<ExitCode> {
    let signals = Incoming::listen()?;
    let process = process::of_command(&found.config().await?, &words, false)?;
    let request = ExecRequest {
        container: found.id().clone(),
        process,
        io: ContainerIo::inherit()?,
    };
    stay(found, request, None, false, signals).await
}

fn refuse(found: &Found) -> anyhow::Result<()> {
    let id = found.id();
    match found.status() {
        // Managers look for these words.
        "stopped" => bail!("cannot exec in a stopped container: {id} has ended"),
        "paused" => bail!("cannot exec in a paused container: resume {id} first"),
        _ => Ok(()),
    }
}

fn note_labels(exec: &Exec) {
    let labels = [
        ("--process-label", &exec.process_label),
        ("--apparmor", &exec.apparmor),
    ];
    for (flag, label) in labels {
        if label.as_deref().is_some_and(|label| !label.is_empty()) {
            tracing::warn!(
                flag,
                "the guest has no such security module: it is left out"
            );
        }
    }
}

/// Starts a process, and a process on the host that stands for it.
async fn leave(
    found: &Found,
    request: ExecRequest,
    pid_file: Option<PidFile>,
) -> anyhow::Result<ExitCode> {
    let runtime = &found.runtime;
    let stand_in = runtime.enter_detached(found.sandbox_id(), request).await?;
    if let Some(pid_file) = pid_file {
        pid_file.write(stand_in.pid)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a process and carries its streams to the end. This command stands for it.
async fn stay(
    found: &Found,
    request: ExecRequest,
    pid_file: Option<PidFile>,
    terminal: bool,
    mut signals: Incoming,
) -> anyhow::Result<ExitCode> {
    let runtime = &found.runtime;
    let process = runtime.enter_attached(found.sandbox_id(), request).await?;
    if let Some(pid_file) = pid_file {
        pid_file.write(std::process::id())?;
    }
    let raw = if terminal { Raw::enter()? } else { None };
    let mut sizes = raw.is_some().then(Resizes::follow).transpose()?;
    let mut remote = process.remote();
    let mut wait = pin!(process.wait());
    let status = loop {
        let size = async {
            match &mut sizes {
                Some(sizes) => sizes.next().await,
                None => std::future::pending().await,
            }
        };
        // A process that has just ended cannot be reached any more, which its end explains.
        let reached = tokio::select! {
            status = &mut wait => break status,
            signal = signals.next() => remote.signal(signal.0).await,
            size = size => remote.resize_terminal(size.rows, size.columns).await,
        };
        if let Err(error) = reached {
            tracing::debug!(%error, "not forwarded");
        }
    };
    drop(raw);
    Ok(ExitCode::from(status?.code()))
}
