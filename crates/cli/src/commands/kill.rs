//! `vc kill`: a signal for a container.

use std::process::ExitCode;

use super::sandbox;
use crate::args::{Global, Kill};
use crate::signals::Signal;

pub(crate) async fn run(global: &Global, kill: Kill) -> anyhow::Result<ExitCode> {
    let sandbox = sandbox(global, &kill.id).await?;
    let Signal(signal) = if kill.all { Signal(9) } else { kill.signal };
    sandbox.signal(&kill.id, signal, kill.all).await?;
    Ok(ExitCode::SUCCESS)
}
