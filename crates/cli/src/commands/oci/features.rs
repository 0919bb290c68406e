//! `vc features`: what this runtime can do.

use std::process::ExitCode;

use crate::output;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    output::json(&virtcontainers::oci::features())?;
    Ok(ExitCode::SUCCESS)
}
