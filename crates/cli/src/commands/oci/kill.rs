//! `vc kill`: a signal for a container.

use std::process::ExitCode;

use anyhow::bail;
use virtcontainers::ErrorKind;

use super::found::Found;
use crate::args::Global;
use crate::args::oci::Kill;
use crate::signals::Signal;

const SIGKILL: u32 = 9;

pub(crate) async fn run(global: &Global, kill: Kill) -> anyhow::Result<ExitCode> {
    let found = Found::of(global, &kill.id).await?;
    let Signal(signal) = kill.signal;
    let ended = match found.status() {
        "stopped" => true,
        // To ask is enough.
        _ if signal == 0 => false,
        _ => !send(&found, signal, kill.all && signal == SIGKILL).await?,
    };
    if ended && !kill.all {
        // Managers look for these words.
        bail!(
            "cannot send a signal to container {}: container not running",
            kill.id
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// `false` when it ended meanwhile.
async fn send(found: &Found, signal: u32, all: bool) -> anyhow::Result<bool> {
    let runtime = &found.runtime;
    let sent = runtime
        .kill_container(found.sandbox_id(), found.id(), signal, all)
        .await;
    match sent {
        Err(error)
            if matches!(error.kind(), ErrorKind::WrongState | ErrorKind::Gone)
                && has_ended(found).await =>
        {
            Ok(false)
        }
        sent => Ok(sent.map(|()| true)?),
    }
}

async fn has_ended(found: &Found) -> bool {
    let now = Found::maybe(found.runtime.clone(), found.id()).await;
    now.is_ok_and(|now| now.is_none_or(|now| now.status() == "stopped"))
}
