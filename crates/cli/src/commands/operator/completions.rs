//! `vc completions`: a script for a shell, from the definition that `--help` is made from.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::Arguments;
use crate::args::operator::Completions;
use crate::output;

pub(crate) fn run(completions: &Completions) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(completions.shell, &mut command, "vc", &mut script);
    output::print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
