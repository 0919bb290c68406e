//! `vc state`: the state document of the OCI runtime specification.

use std::process::ExitCode;

use virtcontainers::oci;

use crate::args::Global;
use crate::args::oci::State;
use crate::commands::{BUNDLE, sandbox};
use crate::output;

pub(crate) async fn run(global: &Global, state: State) -> anyhow::Result<ExitCode> {
    let sandbox = sandbox(global, &state.id).await?;
    let config = sandbox.config().await?;
    let bundle = config
        .annotations
        .get(BUNDLE)
        .map(Into::into)
        .unwrap_or_default();
    output::json(&oci::State::new(&sandbox.status().await?, bundle))?;
    Ok(ExitCode::SUCCESS)
}
