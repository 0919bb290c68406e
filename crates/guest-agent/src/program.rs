//! Runs one of the guest image's own programs to its end.

use std::process::{Command, Stdio};

use crate::reaper::Reaper;
use crate::status::{Doing as _, Failure, Result};

/// Runs `path` with `arguments`, without input or output. Waits for its end; dropping the future
/// leaves it running.
///
/// # Errors
/// INTERNAL when it cannot be started or does not end with 0.
pub(crate) async fn run(reaper: &Reaper, path: &str, arguments: &[String]) -> Result<()> {
    let spawning = reaper.spawning();
    #[expect(
        clippy::disallowed_methods,
        reason = "the guest agent reaps for itself and does not use the host's process crate"
    )]
    let mut command = Command::new(path);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // The reaper collects it; std's handle is not used to wait.
    let child = command.spawn().doing(|| format!("run {path}"))?;
    let exit = reaper.watch(child.id().cast_signed());
    drop(spawning);
    match exit.wait().await {
        Some(0) => Ok(()),
        status => Err(Failure::internal(format!(
            "{path} ended with status {status:?}"
        ))),
    }
}
