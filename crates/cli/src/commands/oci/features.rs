//! `vc features`: what this runtime can do.

use std::process::ExitCode;

use crate::output;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    output::json(
        &serde_json::json!({ "ociVersionMin": "1.0.0", "ociVersionMax": virtcontainers::oci::State::OCI_VERSION }),
    )?;
    Ok(ExitCode::SUCCESS)
}
