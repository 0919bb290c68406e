//! `vc ps`: the processes of a container, as its guest numbers them.

use std::process::ExitCode;

use anyhow::bail;
use virtcontainers::types::ProcessEntry;

use super::exec;
use super::found::Found;
use crate::args::oci::Ps;
use crate::args::{Format, Global};
use crate::output;

pub(crate) async fn run(global: &Global, ps: Ps) -> anyhow::Result<ExitCode> {
    let found = Found::of(global, &ps.id).await?;
    match found.status() {
        "running" => {}
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
    if !ps.options.is_empty() && ps.format == Format::Table {
        let mut words = vec!["ps".to_owned()];
        words.extend(ps.options);
        return exec::command(&found, words).await;
    }
    let listed = found
        .runtime
        .process_list_container(found.sandbox_id(), found.id())
        .await?;
    match ps.format {
        Format::Json => {
            let pids: Vec<u32> = listed.iter().map(|entry| entry.pid).collect();
            output::print(&format!("{}\n", serde_json::to_string(&pids)?))?;
        }
        Format::Table => {
            let rows: Vec<[String; 6]> = listed.iter().map(row).collect();
            output::table(["UID", "PID", "PPID", "TIME", "RSS", "CMD"], &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
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
