//! `lint`: formatting and clippy, warnings denied; and the documentation's own warnings.

use std::process::ExitCode;

use anyhow::{Context, Result};
use pico_args::Arguments;

use crate::cargo;
use crate::tasks::finish;

/// The task.
pub(crate) fn task(args: Arguments) -> Result<ExitCode> {
    finish(args)?;
    format()?;
    clippy()?;
    Ok(ExitCode::SUCCESS)
}

/// Fails when a file is not formatted.
pub(crate) fn format() -> Result<()> {
    let command = cargo::host().args(["fmt", "--all", "--check"]);
    command
        .run()
        .context("some files are not formatted: run `cargo fmt --all`")
}

/// Fails on any lint.
pub(crate) fn clippy() -> Result<()> {
    let command = cargo::host().args(["clippy", "--workspace", "--all-targets"]);
    command
        .args(["--", "-D", "warnings"])
        .run()
        .context("clippy has remarks")
}

/// Fails on any warning of the documentation's build, such as a link that leads nowhere.
pub(crate) fn docs() -> Result<()> {
    let command = cargo::host().args(["doc", "--no-deps", "--workspace"]);
    command
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
        .context("the documentation has faults")
}
