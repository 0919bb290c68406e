//! `bench`: the figures, from release builds.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::build::{self, Profile};
use crate::cargo;
use crate::real::Real;

/// The task; its words go to the program that measures.
pub(crate) fn task(words: Vec<OsString>) -> Result<ExitCode> {
    let real = Real::prepare(Profile::Release)?;
    let network_speed = build::network_speed()?;
    cargo::host()
        .args([
            "run",
            "--release",
            "--package",
            "virtcontainers-tests",
            "--bin",
            "bench",
            "--",
        ])
        .args(words)
        .envs(&real.environment())
        .env("VC_NETWORK_SPEED", network_speed)
        .run()
        .context("the measurement failed")?;
    Ok(ExitCode::SUCCESS)
}
