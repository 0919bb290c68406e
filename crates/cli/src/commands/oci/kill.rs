//! `vc kill`: a signal for a container.

use std::process::ExitCode;

use crate::args::Global;
use crate::args::oci::Kill;
use crate::commands::runtime;
use crate::signals::Signal;

pub(crate) async fn run(global: &Global, kill: Kill) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    let Signal(signal) = if kill.all { Signal(9) } else { kill.signal };
    let sandbox = kill.id.clone().into();
    runtime
        .kill_container(&sandbox, &kill.id, signal, kill.all)
        .await?;
    Ok(ExitCode::SUCCESS)
}
