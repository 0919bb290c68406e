//! The commands of an OCI runtime.

mod delete;
mod exec;
mod kill;
mod list;
mod run;
mod state;

use std::process::ExitCode;

use crate::args::Global;
use crate::args::oci::Command;

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(run) => run::run(global, *run).await,
        Command::Exec(exec) => exec::run(global, exec).await,
        Command::List(list) => list::run(global, list).await,
        Command::State(state) => state::run(global, state).await,
        Command::Kill(kill) => kill::run(global, kill).await,
        Command::Delete(delete) => delete::run(global, delete).await,
    }
}
