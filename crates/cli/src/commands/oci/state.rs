//! `vc state`: the state document of the OCI runtime specification.

use std::process::ExitCode;

use super::found::Found;
use super::list::Row;
use crate::args::Global;
use crate::args::oci::State;
use crate::output;

pub(crate) async fn run(global: &Global, state: State) -> anyhow::Result<ExitCode> {
    let found = Found::of(global, &state.id).await?;
    let Found {
        sandbox,
        container,
        state,
        ..
    } = found;
    output::json(&Row::new(state, &sandbox, &container))?;
    Ok(ExitCode::SUCCESS)
}
