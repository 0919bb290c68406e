//! Somebody who acts on a sandbox, in a process of their own: `actor SETTING COMMAND`.
//!
//! `SETTING` is a [`Setting`] as JSON. Commands: an operation with its arguments, see
//! [`command`](mod@command), to be carried out once; `life`, a sandbox's whole life; `storm SEED
//! MILLISECONDS`, random operations. Each operation is told in one line of JSON.
//!
//! The program is also the supervisor, the stand-ins and the machine of its sandboxes.

mod command;
mod journaled;
mod random;
mod setting;
mod stage;

use std::process::ExitCode;

use anyhow::{Context, Result};
use virtcontainers::{StandIn, SupervisorStart};
use virtcontainers_process::TAG_VARIABLE;
use virtcontainers_testkit::hypervisor::{FAKE_MACHINE, fake_machine};

use setting::Setting;
use stage::Stage;

/// The word by which the program becomes a supervisor.
const SUPERVISE: &str = "supervise";
/// The word by which it becomes a stand-in.
const STAND_IN: &str = "stand-in";

fn main() -> ExitCode {
    if std::env::var(TAG_VARIABLE).is_ok_and(|tag| tag == FAKE_MACHINE) {
        return fake_machine();
    }
    let ended = match std::env::args().nth(1).as_deref() {
        Some(SUPERVISE) => supervise(),
        Some(STAND_IN) => stand_in(&std::env::args().nth(2).unwrap_or_default()),
        _ => act(),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("actor: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn executor() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

fn stand_in(view: &str) -> Result<bool> {
    let stand_in = StandIn::take(view)?;
    executor()?.block_on(stand_in.wait())?;
    Ok(true)
}

fn supervise() -> Result<bool> {
    SupervisorStart::take()?.run(attend)?
}

fn attend(start: SupervisorStart) -> Result<bool> {
    let setting: Setting = serde_json::from_value(start.preamble.clone())?;
    let executor = executor()?;
    let stage = Stage::new(setting)?;
    executor.block_on(stage.runtime.supervise(start))?;
    executor.shutdown_background();
    Ok(true)
}

/// Whether all operations succeeded.
fn act() -> Result<bool> {
    let mut words = std::env::args().skip(1);
    let setting = words.next().context("no setting")?;
    let setting: Setting = serde_json::from_str(&setting)?;
    let command = words.next().context("no command")?;
    let words: Vec<String> = words.collect();
    let executor = executor()?;
    let mut stage = Stage::new(setting)?;
    let done = executor.block_on(command::carry_out(&mut stage, &command, &words));
    executor.shutdown_background();
    done
}
