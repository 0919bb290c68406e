//! `e2e` and `conformance`: the tests with real virtual machines alone, and the suites that every
//! backend passes.

use std::process::ExitCode;

use anyhow::Result;
use pico_args::Arguments;

use crate::build::Profile;
use crate::real::Real;
use crate::suite::{self, Selection};
use crate::tally::Tally;
use crate::tasks::finish;

/// The task `e2e`.
pub(crate) fn task(mut args: Arguments) -> Result<ExitCode> {
    let filter = args.opt_free_from_str()?;
    finish(args)?;
    run(&Selection::RealNamed(filter))
}

/// The task `conformance`.
pub(crate) fn conformance(args: Arguments) -> Result<ExitCode> {
    finish(args)?;
    run(&Selection::Conformance)
}

fn run(selection: &Selection) -> Result<ExitCode> {
    let real = Real::prepare(Profile::Dev)?;
    suite::run(selection, &real.environment(), &mut Tally::default())?;
    Ok(ExitCode::SUCCESS)
}
