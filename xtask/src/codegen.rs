//! `codegen`: writes the code that `agent-proto` generates from its `.proto` files, or checks that
//! what is checked in is what would be written.

use std::process::ExitCode;

use anyhow::{Context, Result};
use pico_args::Arguments;

use crate::cargo;
use crate::tasks::finish;

/// The task.
pub(crate) fn task(mut args: Arguments) -> Result<ExitCode> {
    let only_check = args.contains("--check");
    finish(args)?;
    let test = [
        "test",
        "--quiet",
        "--package",
        "virtcontainers-agent-proto",
        "--test",
        "codegen",
    ];
    let command = cargo::host().args(test);
    let command = if only_check {
        command
    } else {
        command.env("UPDATE_GENERATED", "1")
    };
    command.run().context(if only_check {
        "the generated code is not what its sources say: run `cargo xtask codegen`"
    } else {
        "cannot generate the code"
    })?;
    Ok(ExitCode::SUCCESS)
}
