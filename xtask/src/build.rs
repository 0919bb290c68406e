//! Builds of the host programs, always with the same flags, so that tasks reuse each other's work.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo;

/// How a program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build: for `run` and tests.
    Dev,
    /// As shipped: for figures.
    Release,
}

/// Builds `vc` alone and returns the program.
pub(crate) fn vc(profile: Profile) -> Result<PathBuf> {
    let (name, dir) = match profile {
        Profile::Dev => ("dev", "debug"),
        Profile::Release => ("release", "release"),
    };
    let command = cargo::host().args(["build", "--profile", name]);
    cargo::build_quietly(command.args(["--package", "virtcontainers-cli", "--bin", "vc"]))
        .context("cannot build vc")?;
    Ok(cargo::program(&cargo::target_dir()?, dir, "vc"))
}

/// Builds the program that connects network namespaces and has a script do the same, as shipped, and
/// returns it.
pub(crate) fn network_speed() -> Result<PathBuf> {
    let command = cargo::host().args(["build", "--release", "--example", "connecting"]);
    cargo::build_quietly(command.args(["--package", "virtcontainers-network"]))
        .context("cannot build the example `connecting` of the network")?;
    let examples = cargo::target_dir()?.join("release");
    Ok(cargo::program(&examples, "examples", "connecting"))
}

/// Builds every program and every test of the workspace in one go, so that nothing of it is built
/// twice with different features, and returns `vc`.
pub(crate) fn workspace() -> Result<PathBuf> {
    let command = cargo::host().args(["build", "--workspace", "--bins", "--tests", "--examples"]);
    cargo::build_quietly(command).context("cannot build the workspace")?;
    Ok(cargo::program(&cargo::target_dir()?, "debug", "vc"))
}
