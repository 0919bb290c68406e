//! `vc create`: a container whose program waits for start.

use std::process::ExitCode;

use anyhow::Context;
use virtcontainers::types::{Attachment, ContainerId};
use virtcontainers::{Config, ContainerIo, CreateOptions, Runtime};

use super::bundle::{Plan, ensure_new};
use super::console::{Console, send_master};
use super::delete::remove;
use super::found::{Found, missing};
use super::pid_file::PidFile;
use super::start::start_found;
use crate::args::Global;
use crate::args::oci::{Create, Creation};
use crate::commands::runtime;

pub(crate) async fn run(global: &Global, create: Create) -> anyhow::Result<ExitCode> {
    let (config, runtime) = runtime(global)?;
    let Create { creation, id } = create;
    let plan = plan_of_bundle(global, (&config, &runtime), &creation, &id).await?;
    make_and_leave(&runtime, plan, &creation, &id, false).await?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the bundle of a creation, whose id must be new.
pub(super) async fn plan_of_bundle(
    global: &Global,
    with: (&Config, &Runtime),
    creation: &Creation,
    id: &ContainerId,
) -> anyhow::Result<Plan> {
    ensure_new(with.1, id).await?;
    Plan::of_bundle(global, with, &creation.bundle, id).await
}

/// Makes a container that outlives this command, starts it if it is to be, and writes its pid file last.
/// What fails midway is taken back.
pub(super) async fn make_and_leave(
    runtime: &Runtime,
    plan: Plan,
    creation: &Creation,
    id: &ContainerId,
    start: bool,
) -> anyhow::Result<()> {
    let pid_file = creation.pid_file.as_deref().map(PidFile::at).transpose()?;
    let socket = creation.console_socket.as_deref();
    let io = match Console::choose(socket, plan.has_terminal(), false)? {
        Console::Socket(socket) => ContainerIo::terminal(send_master(socket)?)?,
        Console::None | Console::Own => ContainerIo::inherit()?,
    };
    make(runtime, plan, io).await?;
    let found = Found::maybe(runtime.clone(), id).await?;
    let found = found.ok_or_else(|| missing(id))?;
    let finished = async {
        if start {
            start_found(&found).await?;
        }
        match pid_file {
            Some(pid_file) => pid_file.write(found.pid()),
            None => Ok(()),
        }
    };
    let finished = finished.await;
    if finished.is_err()
        && let Err(error) = remove(&found, true).await
    {
        tracing::warn!(%error, container = %id, "a failed creation is not wholly cleaned up");
    }
    finished
}

/// Makes a container that outlives this command.
async fn make(runtime: &Runtime, plan: Plan, io: ContainerIo) -> anyhow::Result<()> {
    match plan {
        Plan::Sandbox(config) => {
            let options = CreateOptions {
                io,
                attachment: Attachment::Detached,
                ..CreateOptions::default()
            };
            runtime.create_sandbox(*config, options).await?;
        }
        Plan::Member(sandbox, config) => {
            let id = config.id.clone();
            let made = runtime.create_container(&sandbox, *config, io.with_stand_in());
            made.await
                .with_context(|| format!("cannot add container {id} to sandbox {sandbox}"))?;
        }
    }
    Ok(())
}
