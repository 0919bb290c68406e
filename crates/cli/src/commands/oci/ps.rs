//! `vc ps`: the processes of a container. People are told of those in the guest, programs of those on
//! the host that stand for them: whoever reads numbers looks them up there.

use std::process::ExitCode;

use anyhow::bail;
use virtcontainers::Config;
use virtcontainers::inspect::Inspection;
use virtcontainers::types::ProcessEntry;

use super::exec;
use super::found::{Found, missing};
use crate::args::oci::Ps;
use crate::args::{Format, Global};
use crate::commands::runtime;
use crate::output;

/// What a process that stands for another is called among those of a sandbox.
const STAND_IN: &str = "stand-in";

pub(crate) async fn run(global: &Global, ps: Ps) -> anyhow::Result<ExitCode> {
    let (config, runtime) = runtime(global)?;
    let found = Found::maybe(runtime, &ps.id).await?;
    let found = found.ok_or_else(|| missing(&ps.id))?;
    match found.status() {
        "running" => {}
        "created" | "paused" if ps.format == Format::Json => {}
        "stopped" => bail!(
            "cannot list the processes of container {}: it has stopped",
            ps.id
        ),
        // One that was not started, and one that is frozen, are not looked into.
        status => bail!(
            "cannot list the processes of container {}: it is {status}, not running",
            ps.id
        ),
    }
    if ps.format == Format::Json {
        let pids = on_host(&config, &found).await?;
        output::print(&format!("{}\n", serde_json::to_string(&pids)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !ps.options.is_empty() {
        let mut words = vec!["ps".to_owned()];
        words.extend(ps.options);
        return exec::command(&found, words).await;
    }
    let listed = found
        .runtime
        .process_list_container(found.sandbox_id(), found.id())
        .await?;
    let rows: Vec<[String; 6]> = listed.iter().map(row).collect();
    output::table(["UID", "PID", "PPID", "TIME", "RSS", "CMD"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// The process that stands for the container, and where it has the sandbox for itself those that stand
/// for its execs. Of those in a pod nobody knows whose they are.
async fn on_host(config: &Config, found: &Found) -> anyhow::Result<Vec<u32>> {
    let mut pids = vec![found.pid()];
    if found.sandbox.containers.len() == 1 {
        let inspection = Inspection::of(config, &found.runtime, found.sandbox_id()).await?;
        let execs = inspection.processes.iter();
        let execs = execs.filter(|process| process.role == STAND_IN);
        pids.extend(execs.map(|process| process.pid));
    }
    Ok(pids)
}

fn row(entry: &ProcessEntry) -> [String; 6] {
    let seconds = entry.cpu_ms / 1000;
    // What a guest says may steer no terminal.
    let command = entry.command.chars().filter(|c| !c.is_control()).collect();
    [
        entry.uid.to_string(),
        entry.pid.to_string(),
        entry.ppid.to_string(),
        format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
        format!("{}K", entry.rss / 1024),
        command,
    ]
}
