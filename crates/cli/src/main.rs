//! `vc`: runs containers inside lightweight virtual machines.
//!
//! The program only maps arguments to calls of the library; it decides nothing about lifecycles.

mod args;
mod clock;
mod commands;
mod input;
mod logging;
mod output;
mod signals;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use logging::Log;

fn main() -> ExitCode {
    if let Some(code) = virtcontainers::run_if_supervisor(logging::for_supervisor) {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error, &Log::of_words(std::env::args_os())),
    };
    let log = match Log::open(&arguments.global) {
        Ok(log) => log,
        Err(error) => return output::failure(&error, &Log::stderr(arguments.global.log_format)),
    };
    log.start(&arguments.global);
    match run(arguments) {
        Ok(code) => code,
        Err(error) => output::failure(&error, &log),
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { global, command } = arguments;
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = executor.block_on(async {
        match command {
            Command::Oci(command) => commands::oci::run(&global, command).await,
            Command::Operator(command) => commands::operator::run(&global, command).await,
        }
    });
    // A thread that still waits for input must not hold up the end.
    executor.shutdown_background();
    done
}
