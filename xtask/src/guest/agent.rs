//! The guest agent's build: static, small, in a profile of its own.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo;
use crate::cmd::Cmd;

const PACKAGE: &str = "virtcontainers-guest-agent";
const PROGRAM: &str = "vc-guest-agent";
const PROFILE: &str = "guest";
/// Naming the target keeps the static flags away from build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the agent and returns its program.
pub(super) fn build() -> Result<PathBuf> {
    let command = cargo::host()
        .args([
            "build",
            "--profile",
            PROFILE,
            "--target",
            TARGET,
            "--package",
            PACKAGE,
        ])
        .args(["--bin", PROGRAM])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("LIBSECCOMP_LINK_TYPE", "static")
        .env("LIBSECCOMP_LIB_PATH", libseccomp_dir()?);
    cargo::build_quietly(command).context("cannot build the guest agent")?;
    Ok(cargo::target_dir()?
        .join(TARGET)
        .join(PROFILE)
        .join(PROGRAM))
}

fn libseccomp_dir() -> Result<String> {
    let output = Cmd::new("pkg-config")
        .args(["--variable=libdir", "libseccomp"])
        .output()
        .context("cannot find libseccomp for linking: run `cargo xtask setup`")?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}
