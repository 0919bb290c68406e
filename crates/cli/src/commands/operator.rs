//! The commands for those who run the host.

mod check;
mod gc;
mod logs;

use std::process::ExitCode;

use crate::args::Global;
use crate::args::operator::Command;

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check(check) => check::run(global, check),
        Command::Logs(logs) => logs::run(global, logs).await,
        Command::Gc(gc) => gc::run(global, gc).await,
    }
}
