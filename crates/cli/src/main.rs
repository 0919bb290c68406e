//! `vc`: runs containers inside lightweight virtual machines.
//!
//! The program only maps arguments to calls of the library; it decides nothing about lifecycles.

mod args;
mod commands;
mod logging;
mod output;
mod signals;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};

fn main() -> ExitCode {
    if let Some(code) = virtcontainers::run_if_supervisor(logging::for_supervisor) {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    logging::init(&arguments.global);
    let format = arguments.global.log_format;
    match run(arguments) {
        Ok(code) => code,
        Err(error) => output::failure(&error, format),
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { global, command } = arguments;
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = executor.block_on(async {
        match command {
            Command::Run(run) => commands::run::run(&global, *run).await,
            Command::Exec(exec) => commands::exec::run(&global, exec).await,
            Command::Check(check) => commands::check::run(&global, check),
            Command::List(list) => commands::list::run(&global, list).await,
            Command::State(state) => commands::state::run(&global, state).await,
            Command::Kill(kill) => commands::kill::run(&global, kill).await,
            Command::Delete(delete) => commands::delete::run(&global, delete).await,
            Command::Logs(logs) => commands::logs::run(&global, logs).await,
            Command::Gc(gc) => commands::gc::run(&global, gc).await,
        }
    });
    // A thread that still waits for input must not hold up the end.
    executor.shutdown_background();
    done
}
