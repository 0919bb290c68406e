//! `vc delete`: removes containers and all that was made for them.

use std::process::ExitCode;

use anyhow::bail;
use virtcontainers::types::ContainerId;
use virtcontainers::{ErrorKind, Runtime, RuntimeError};

use super::found::{Found, missing};
use crate::args::Global;
use crate::args::oci::Delete;
use crate::commands::runtime;

/// Goes on after a failure; the first is told.
pub(crate) async fn run(global: &Global, delete: Delete) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    let mut first = Ok(());
    for id in &delete.ids {
        let deleted = one(&runtime, id, delete.force).await;
        match (&first, &deleted) {
            (Err(_), Err(error)) => tracing::warn!(%error, container = %id, "not deleted"),
            (Err(_), Ok(())) => {}
            (Ok(()), _) => first = deleted,
        }
    }
    first.map(|()| ExitCode::SUCCESS)
}

async fn one(runtime: &Runtime, id: &ContainerId, force: bool) -> anyhow::Result<()> {
    let found = match Found::maybe(runtime.clone(), id).await {
        Ok(Some(found)) => found,
        Ok(None) if !force => return Err(missing(id)),
        // What there is of a sandbox that cannot be read, or was never completed, has its id.
        Ok(None) => {
            return Ok(unless_gone(
                runtime.delete_sandbox(&id.clone().into(), true).await,
            )?);
        }
        Err(error) if !force => return Err(error),
        Err(error) => {
            tracing::debug!(%error, "deleted by force");
            return Ok(unless_gone(
                runtime.delete_sandbox(&id.clone().into(), true).await,
            )?);
        }
    };
    let status = found.status();
    if !force && !matches!(status, "created" | "stopped") {
        // Managers look for these words.
        bail!(
            "cannot delete container {id} that is not stopped: it is {status}; end it with `vc kill`, \
             or add --force"
        );
    }
    remove(&found, force).await
}

/// Removes a container that may be removed; the first of a sandbox with the sandbox.
pub(super) async fn remove(found: &Found, force: bool) -> anyhow::Result<()> {
    let (runtime, sandbox, id) = (&found.runtime, found.sandbox_id(), found.id());
    let removed = if found.is_first() {
        // The others may run on: they end with it.
        runtime.delete_sandbox(sandbox, true).await
    } else if force {
        runtime.cleanup_container(sandbox, id, true).await
    } else {
        runtime.delete_container(sandbox, id).await
    };
    Ok(unless_gone(removed)?)
}

/// Somebody else was faster.
fn unless_gone(deleted: Result<(), RuntimeError>) -> Result<(), RuntimeError> {
    match deleted {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        deleted => deleted,
    }
}
