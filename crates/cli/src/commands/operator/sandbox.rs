//! `vc sandbox`: whole sandboxes, by their own ids.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;
use virtcontainers::types::{ContainerId, ContainerStats, SandboxStats, SandboxStatus};
use virtcontainers::{ErrorKind, Listed, Runtime};

use crate::args::operator::{SandboxCommand, SandboxList, SandboxShown};
use crate::args::{Format, Global};
use crate::commands::runtime;
use crate::output;

pub(crate) async fn run(global: &Global, command: SandboxCommand) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    match command {
        SandboxCommand::List(list) => return show_list(&runtime, &list).await,
        SandboxCommand::Status(shown) => status(&runtime, &shown).await?,
        SandboxCommand::Stats(shown) => stats(&runtime, &shown).await?,
        SandboxCommand::Pause(pause) => runtime.pause_sandbox(&pause.id).await.map(drop)?,
        SandboxCommand::Resume(resume) => runtime.resume_sandbox(&resume.id).await.map(drop)?,
        SandboxCommand::Stop(stop) => runtime.stop_sandbox(&stop.id, stop.force).await.map(drop)?,
        SandboxCommand::Delete(delete) => {
            match runtime.delete_sandbox(&delete.id, delete.force).await {
                Err(error) if delete.force && error.kind() == ErrorKind::NotFound => {}
                deleted => deleted?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One entry of the list. Either it has a status, or an error says why not.
#[derive(Debug, Serialize)]
struct Entry {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<SandboxStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Entry {
    fn of(Listed { id, status }: Listed) -> Self {
        let (status, error) = match status {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(format!("{:#}", anyhow::Error::new(error)))),
        };
        Self {
            id: id.map_or_else(|| "?".to_owned(), |id| id.to_string()),
            status,
            error,
        }
    }

    fn row(&self) -> [String; 5] {
        let of =
            |tell: fn(&SandboxStatus) -> String| self.status.as_ref().map(tell).unwrap_or_default();
        let state = match &self.error {
            Some(error) => format!("unreadable: {error}"),
            None => of(|status| status.state.to_string()),
        };
        [
            self.id.clone(),
            state,
            of(|status| pid(status).map(|pid| pid.to_string()).unwrap_or_default()),
            of(|status| status.containers.len().to_string()),
            of(|status| status.hypervisor.clone()),
        ]
    }
}

fn pid(status: &SandboxStatus) -> Option<u32> {
    Some(status.supervisor.filter(|_| status.state.is_live())?.pid)
}

async fn show_list(runtime: &Runtime, list: &SandboxList) -> anyhow::Result<ExitCode> {
    let listed = runtime.list_sandboxes().await?;
    let entries: Vec<Entry> = listed.into_iter().map(Entry::of).collect();
    if list.quiet {
        let ids: String = entries
            .iter()
            .map(|entry| format!("{}\n", entry.id))
            .collect();
        output::print(&ids)?;
    } else if list.format == Format::Json {
        output::json(&entries)?;
    } else {
        let rows: Vec<_> = entries.iter().map(Entry::row).collect();
        output::table(["ID", "STATE", "PID", "CONTAINERS", "HYPERVISOR"], &rows)?;
    }
    let unreadable = entries.iter().any(|entry| entry.error.is_some());
    Ok(ExitCode::from(u8::from(unreadable)))
}

async fn status(runtime: &Runtime, shown: &SandboxShown) -> anyhow::Result<()> {
    let status = runtime.status_sandbox(&shown.id).await?;
    if shown.format == Format::Json {
        return output::json(&status);
    }
    let mut rows = vec![[
        status.id.to_string(),
        "sandbox".to_owned(),
        status.state.to_string(),
        pid(&status).map(|pid| pid.to_string()).unwrap_or_default(),
        status.failure.clone().unwrap_or_default(),
    ]];
    rows.extend(status.containers.iter().map(|container| {
        let pid = status.pid_of(&container.id);
        let exit = container.exit_status;
        [
            container.id.to_string(),
            "container".to_owned(),
            container.state.to_string(),
            pid.map(|pid| pid.to_string()).unwrap_or_default(),
            exit.map(|status| format!("exit status {}", status.0))
                .unwrap_or_default(),
        ]
    }));
    output::table(["ID", "KIND", "STATE", "PID", "DETAIL"], &rows)
}

async fn stats(runtime: &Runtime, shown: &SandboxShown) -> anyhow::Result<()> {
    let (host, containers) = runtime.stats_sandbox(&shown.id).await?;
    if shown.format == Format::Json {
        let containers: Vec<_> = containers
            .iter()
            .map(|(id, stats)| json!({ "id": id, "stats": stats }))
            .collect();
        return output::json(&json!({ "id": shown.id, "host": host, "containers": containers }));
    }
    let mut rows = vec![on_host(shown.id.as_str(), host)];
    rows.extend(containers.iter().map(|(id, stats)| in_guest(id, stats)));
    output::table(["ID", "WHERE", "CPU TIME", "MEMORY", "TASKS"], &rows)
}

fn on_host(id: &str, stats: SandboxStats) -> [String; 5] {
    [
        id.to_owned(),
        "host".to_owned(),
        milliseconds(stats.cpu),
        kibibytes(stats.memory),
        String::new(),
    ]
}

fn in_guest(id: &ContainerId, stats: &ContainerStats) -> [String; 5] {
    let cgroup = &stats.cgroup;
    [
        id.to_string(),
        "guest".to_owned(),
        milliseconds(cgroup.cpu.total),
        kibibytes(cgroup.memory.usage.usage),
        cgroup.pids.current.to_string(),
    ]
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{} ms", nanoseconds / 1_000_000)
}

fn kibibytes(bytes: u64) -> String {
    format!("{} KiB", bytes / 1024)
}
