//! `vc start`: the program of a container that was created.

use std::process::ExitCode;

use anyhow::bail;

use super::found::Found;
use crate::args::Global;
use crate::args::oci::Start;

pub(crate) async fn run(global: &Global, start: Start) -> anyhow::Result<ExitCode> {
    let found = Found::of(global, &start.id).await?;
    start_found(&found).await?;
    Ok(ExitCode::SUCCESS)
}

/// Starts a container that was created, and no other of its sandbox.
pub(super) async fn start_found(found: &Found) -> anyhow::Result<()> {
    let id = found.id();
    match found.status() {
        "created" => {}
        "stopped" => {
            bail!("cannot start container {id}: it has stopped; delete it and create it anew")
        }
        status => bail!("cannot start container {id}: it is {status}"),
    }
    let started = found.runtime.start_container(found.sandbox_id(), id);
    started.await?;
    Ok(())
}
