//! `vc delete`: removes a container and all that was made for it.

use std::process::ExitCode;

use virtcontainers::ErrorKind;

use crate::args::Global;
use crate::args::oci::Delete;
use crate::commands::runtime;

pub(crate) async fn run(global: &Global, delete: Delete) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    match runtime
        .delete_sandbox(&delete.id.into(), delete.force)
        .await
    {
        Err(error) if delete.force && error.kind() == ErrorKind::NotFound => {}
        deleted => deleted?,
    }
    Ok(ExitCode::SUCCESS)
}
