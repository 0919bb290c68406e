//! `vc pause` and `vc resume`: the processes of one container. Its machine goes on, so that it can be
//! looked at, signalled and deleted meanwhile; `vc sandbox pause` halts a whole machine.

use std::process::ExitCode;

use anyhow::bail;
use virtcontainers::types::SandboxState;

use super::found::Found;
use crate::args::Global;
use crate::args::oci::{Pause, Resume};

pub(crate) async fn pause(global: &Global, pause: Pause) -> anyhow::Result<ExitCode> {
    let found = Found::of(global, &pause.id).await?;
    match found.status() {
        "running" => {}
        status => bail!(
            "cannot pause container {}: it is {status}, not running",
            pause.id
        ),
    }
    found
        .runtime
        .pause_container(found.sandbox_id(), found.id())
        .await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn resume(global: &Global, resume: Resume) -> anyhow::Result<ExitCode> {
    let found = Found::of(global, &resume.id).await?;
    let (runtime, sandbox) = (&found.runtime, found.sandbox_id());
    match (found.status(), found.sandbox.state) {
        ("paused", SandboxState::Paused) => drop(runtime.resume_sandbox(sandbox).await?),
        ("paused", _) => drop(runtime.resume_container(sandbox, found.id()).await?),
        (status, _) => bail!(
            "cannot resume container {}: it is {status}, not paused",
            resume.id
        ),
    }
    Ok(ExitCode::SUCCESS)
}
