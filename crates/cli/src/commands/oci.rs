//! The commands of an OCI runtime.

mod attend;
mod bundle;
mod console;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod found;
mod kill;
mod list;
mod pause;
mod pid_file;
mod process;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::process::ExitCode;

use crate::args::Global;
use crate::args::oci::Command;

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(create) => create::run(global, create).await,
        Command::Start(start) => start::run(global, start).await,
        Command::Run(run) => run::run(global, *run).await,
        Command::Exec(exec) => exec::run(global, *exec).await,
        Command::List(list) => list::run(global, list).await,
        Command::State(state) => state::run(global, state).await,
        Command::Ps(ps) => ps::run(global, ps).await,
        Command::Kill(kill) => kill::run(global, kill).await,
        Command::Delete(delete) => delete::run(global, delete).await,
        Command::Pause(pause) => pause::pause(global, pause).await,
        Command::Resume(resume) => pause::resume(global, resume).await,
        Command::Update(update) => update::run(global, *update).await,
        Command::Events(events) => events::run(global, events).await,
        Command::Spec(spec) => spec::run(&spec),
        Command::Features(_) => features::run(),
    }
}
