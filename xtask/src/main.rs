//! The build tool of this workspace: every task that a person or the gate runs is here, one file
//! (or folder) per task. Start reading in `tasks.rs`, which lists them all.

mod apt;
mod bench;
mod build;
mod cache;
mod cargo;
mod cmd;
mod codegen;
mod e2e;
mod gate;
mod guest;
mod layers;
mod lint;
mod new_backend;
mod progress;
mod real;
mod release_check;
mod rootfs;
mod run;
mod setup;
mod suite;
mod tally;
mod tasks;
mod tidy;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let name = words.next().unwrap_or_default();
    match tasks::run(&name.to_string_lossy(), words.collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            match error.downcast_ref::<tasks::Usage>() {
                Some(_) => ExitCode::from(2),
                None => ExitCode::FAILURE,
            }
        }
    }
}
