//! `vc logs`: the guest's console.

use std::process::ExitCode;

use crate::args::Global;
use crate::args::operator::Logs;
use crate::commands::runtime;
use crate::output;

pub(crate) async fn run(global: &Global, logs: Logs) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    let console = runtime.console(&logs.id.into()).await?;
    output::print_guest_bytes(&console)?;
    Ok(ExitCode::SUCCESS)
}
