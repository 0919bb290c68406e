//! `test`: the gate that every change passes. Quick steps come first, the first failure ends it,
//! and the last line counts the tests.

use std::process::ExitCode;

use anyhow::Result;
use pico_args::Arguments;

use crate::cache::Cache;
use crate::progress::Steps;
use crate::real::Real;
use crate::setup::Purpose;
use crate::suite::{self, Selection};
use crate::tally::Tally;
use crate::tasks::finish;
use crate::{build, guest, layers, lint, setup, tidy};

/// The task.
pub(crate) fn task(args: Arguments) -> Result<ExitCode> {
    finish(args)?;
    let mut steps = Steps::default();
    let mut tally = Tally::default();
    let result = run(&mut steps, &mut tally);
    steps.summary();
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    }
    eprintln!("{tally}");
    Ok(if result.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run(steps: &mut Steps, tally: &mut Tally) -> Result<()> {
    let cache = Cache::open()?;
    steps.step("setup", || setup::ensure(&cache, Purpose::Tests))?;
    steps.step("format", lint::format)?;
    steps.step("layers", layers::run)?;
    steps.step("tidy", tidy::run)?;
    let guest = steps.step("guest", || guest::ensure(&cache))?;
    steps.step("clippy", lint::clippy)?;
    steps.step("documentation", lint::docs)?;
    let vc = steps.step("build", build::workspace)?;
    let real = steps.step("root file system", || Real::of(&cache, guest, vc))?;
    let environment = real.environment();
    steps.step("tests", || {
        suite::run(&Selection::AllButReal, &environment, tally)
    })?;
    steps.step("documentation tests", || suite::doc_tests(tally))?;
    steps.step("end-to-end tests", || {
        suite::run(&Selection::Real, &environment, tally)
    })
}
