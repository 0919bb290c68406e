//! `vc exec`: a further process in a container that runs.

use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context;
use virtcontainers::oci::exec_process;
use virtcontainers::{ContainerIo, ExecRequest};

use crate::args::Global;
use crate::args::oci::Exec;
use crate::commands::{command_line, sandbox};
use crate::signals::Incoming;
use crate::terminal::{Raw, Resizes};

pub(crate) async fn run(global: &Global, exec: Exec) -> anyhow::Result<ExitCode> {
    let mut signals = Incoming::listen()?;
    let sandbox = sandbox(global, &exec.id).await?;
    let config = sandbox.config().await?;
    let container = config
        .containers
        .iter()
        .find(|container| container.id == exec.id)
        .with_context(|| format!("there is no container {}", exec.id))?;
    // Names of users are in the container's own files, which only then are here.
    let rootfs = container.rootfs.host().unwrap_or(Path::new(""));
    let command = command_line(&exec.process, &exec.command, rootfs)?;
    let request = ExecRequest {
        container: container.id.clone(),
        process: exec_process(&command),
        io: ContainerIo::inherit()?,
    };
    let process = sandbox.enter_container(request).await?;
    let raw = if exec.process.tty {
        Raw::enter()?
    } else {
        None
    };
    let mut sizes = raw.is_some().then(Resizes::follow).transpose()?;
    let remote = process.remote();
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
