//! `setup`: what the machine needs to build, boot and test. Idempotent; where nothing is missing
//! it looks at a few files and starts no program.

mod helpers;
mod packages;

use std::process::ExitCode;

use anyhow::Result;
use pico_args::Arguments;

use crate::cache::Cache;
use crate::progress::note;
use crate::tasks::finish;

pub(crate) use packages::Purpose;

/// The task.
pub(crate) fn task(args: Arguments) -> Result<ExitCode> {
    finish(args)?;
    ensure(&Cache::open()?, Purpose::Tests)?;
    note("setup: this machine has what is needed");
    Ok(ExitCode::SUCCESS)
}

/// Installs the packages and builds the helper programs that are missing.
pub(crate) fn ensure(cache: &Cache, purpose: Purpose) -> Result<()> {
    packages::ensure(cache, purpose)?;
    helpers::ensure(cache)
}
