//! The commands for those who run the host.

mod check;
mod completions;
mod console;
mod env;
mod gc;
mod inspect;
mod logs;
mod man;
mod network;
mod overhead;
mod sandbox;

use std::process::ExitCode;

use virtcontainers::types::{ContainerId, SandboxId};
use virtcontainers::{ErrorKind, Runtime};

use crate::args::Global;
use crate::args::operator::Command;

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check(check) => check::run(global, &check),
        Command::Env(env) => env::run(global, &env),
        Command::Logs(logs) => logs::run(global, logs).await,
        Command::Console(console) => console::run(global, &console).await,
        Command::Inspect(inspect) => inspect::run(global, &inspect).await,
        Command::Gc(gc) => gc::run(global, gc).await,
        Command::Sandbox(group) => sandbox::run(global, group.command).await,
        Command::Network(group) => network::run(global, group.command).await,
        Command::Overhead(overhead) => overhead::run(global, &overhead).await,
        Command::Completions(completions) => completions::run(&completions),
        Command::Man(man) => man::run(&man),
    }
}

/// The sandbox that a container is in. An id that no container has may be a sandbox's.
async fn sandbox_id(runtime: &Runtime, id: &ContainerId) -> anyhow::Result<SandboxId> {
    let unknown = match runtime.sandbox_of(id).await {
        Ok(sandbox) => return Ok(sandbox),
        Err(error) if error.kind() == ErrorKind::NotFound => error,
        Err(error) => return Err(error.into()),
    };
    let sandbox = SandboxId::from(id.clone());
    match runtime.status_sandbox(&sandbox).await {
        Ok(_) => Ok(sandbox),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(unknown.into()),
        Err(error) => Err(error.into()),
    }
}
