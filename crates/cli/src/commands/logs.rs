//! `vc logs`: the guest's console.

use std::process::ExitCode;

use super::runtime;
use crate::args::{Global, Logs};
use crate::output;

pub(crate) async fn run(global: &Global, logs: Logs) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    let console = runtime.console(&logs.id.into()).await?;
    output::print_guest_bytes(&console)?;
    Ok(ExitCode::SUCCESS)
}
