//! Calls of cargo itself, always with the toolchain that runs this tool.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cmd::Cmd;
use crate::workspace;

/// cargo, for this workspace, with the flags that every host build shares: builds with the same
/// flags reuse each other's work.
pub(crate) fn host() -> Cmd {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    // cargo tells a program that it runs about the package; nested builds must not see that.
    Cmd::new(program)
        .cwd(&workspace::root())
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_MANIFEST_PATH")
}

/// What cargo knows of this workspace's own packages, without resolving the foreign ones (so that
/// it needs no network and takes no time).
pub(crate) fn metadata() -> Result<Value> {
    let output = host()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()?;
    serde_json::from_slice(&output).context("cannot read what cargo metadata printed")
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = metadata()?;
    let dir = metadata.get("target_directory").and_then(Value::as_str);
    Ok(PathBuf::from(
        dir.context("cargo metadata names no target directory")?,
    ))
}

/// Runs a build and shows its progress, but stays silent when nothing was to be built.
pub(crate) fn build_quietly(cmd: Cmd) -> Result<()> {
    with_colors(cmd).run_lines(|line| !is_final_word(line))
}

/// Keeps cargo's colors although its output passes through our hands.
pub(crate) fn with_colors(cmd: Cmd) -> Cmd {
    if std::io::stderr().is_terminal() {
        cmd.env("CARGO_TERM_COLOR", "always")
    } else {
        cmd
    }
}

/// Whether the line is the one that cargo prints at the end of every build.
fn is_final_word(line: &str) -> bool {
    line.contains("Finished") && line.contains(" target(s) in ")
}

/// The path of a program that was built with `profile_dir` (`debug`, `release`).
pub(crate) fn program(target_dir: &Path, profile_dir: &str, name: &str) -> PathBuf {
    target_dir.join(profile_dir).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_of_cargo_is_dropped() {
        let plain = "    Finished `dev` profile [unoptimized] target(s) in 0.11s";
        let colored = "\u{1b}[1m\u{1b}[92m    Finished\u{1b}[0m `dev` profile target(s) in 0.1s";
        assert!(is_final_word(plain) && is_final_word(colored));
        assert!(!is_final_word("   Compiling finished-crate v0.1.0"));
    }
}
