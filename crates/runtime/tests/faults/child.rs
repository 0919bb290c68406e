//! This program run again: as the process that is killed, and as a supervisor.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_runtime::SupervisorStart;
use virtcontainers_testkit::fault::Blow;

use crate::act::Act;
use crate::stage::{Setting, Stage};

/// The environment variable with a [`Victim`].
const VICTIM_VARIABLE: &str = "VC_FAULTS_VICTIM";
/// The test that is the process that is killed.
const VICTIM: &str = "child::dies_when_told";
/// The test that is a supervisor.
pub(crate) const SUPERVISOR: &str = "child::supervises_when_told";
/// The environment variable that says that a process is a supervisor.
pub(crate) const SUPERVISOR_VARIABLE: &str = "VC_FAULTS_SUPERVISOR";

/// What a process is to do until it is killed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Victim {
    pub(crate) act: Act,
    pub(crate) setting: Setting,
    pub(crate) base: PathBuf,
    pub(crate) name: String,
    pub(crate) number: u64,
}

/// What a supervisor is told by its creator.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Supervised {
    pub(crate) base: PathBuf,
    pub(crate) name: String,
    pub(crate) dies_at: Option<u64>,
}

/// The arguments with which this program runs one test alone.
pub(crate) fn arguments(test: &str) -> Vec<OsString> {
    ["--exact", test, "--nocapture", "--test-threads=1"]
        .map(OsString::from)
        .to_vec()
}

/// Runs a victim to its end. Says whether it was killed.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own program, which is waited for"
)]
pub(crate) fn run(victim: &Victim) -> Result<bool, String> {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(arguments(VICTIM))
        .env(VICTIM_VARIABLE, serde_json::to_string(victim).unwrap())
        .output()
        .unwrap();
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Ok(false),
        (_, Some(9)) => Ok(true),
        _ => Err(format!(
            "the victim ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

pub(crate) fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn dies_when_told() {
    let Ok(victim) = std::env::var(VICTIM_VARIABLE) else {
        return;
    };
    let victim: Victim = serde_json::from_str(&victim).unwrap();
    let stage = Stage::new(victim.setting, &victim.base, &victim.name);
    let runtime = stage.runtime();
    executor().block_on(async {
        victim.act.prepare(&stage, &runtime).await.unwrap();
        stage.points.aim(victim.number, Blow::Kill);
        victim.act.play(&stage, &runtime).await.unwrap();
        // Nothing is cleaned up on the way out: dying after the end is a case, too.
        std::process::exit(0);
    });
}

#[test]
fn supervises_when_told() {
    if std::env::var_os(SUPERVISOR_VARIABLE).is_none() {
        return;
    }
    let start = SupervisorStart::take().unwrap();
    let told: Supervised = serde_json::from_value(start.preamble.clone()).unwrap();
    let stage = Stage::new(Setting::Processes, &told.base, &told.name);
    if let Some(number) = told.dies_at {
        stage.points.aim(number, Blow::Kill);
    }
    let executor = executor();
    executor.block_on(stage.runtime().supervise(start)).unwrap();
    executor.shutdown_background();
}
