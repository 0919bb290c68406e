//! `vc list`: all containers, broken ones included.

use std::process::ExitCode;

use serde::Serialize;

use virtcontainers::Listed;

use crate::args::oci::List;
use crate::args::{Format, Global};
use crate::commands::runtime;
use crate::output;

/// One container in the JSON output.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hypervisor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(global: &Global, list: List) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    let rows: Vec<Row> = runtime
        .list_sandboxes()
        .await?
        .into_iter()
        .map(|Listed { id, status }| match status {
            Ok(status) => Row {
                id: status.id.to_string(),
                status: status.state.oci_status(),
                pid: status.supervisor.map(|supervisor| supervisor.pid),
                hypervisor: Some(status.hypervisor),
                error: status.failure,
            },
            Err(error) => Row {
                id: id.map_or_else(|| "?".to_owned(), |id| id.to_string()),
                status: "unknown",
                pid: None,
                hypervisor: None,
                error: Some(format!("{:#}", anyhow::Error::new(error))),
            },
        })
        .collect();
    if list.quiet {
        let ids: String = rows.iter().map(|row| format!("{}\n", row.id)).collect();
        output::print(&ids)?;
    } else if list.format == Format::Json {
        output::json(&rows)?;
    } else {
        let rows: Vec<[String; 4]> = rows
            .into_iter()
            .map(|row| {
                let pid = row
                    .pid
                    .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
                [
                    row.id,
                    row.status.to_owned(),
                    pid,
                    row.error.unwrap_or_default(),
                ]
            })
            .collect();
        output::table(["ID", "STATUS", "PID", "ERROR"], &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}
