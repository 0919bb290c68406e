//! `vc gc`: adopts or undoes what died midway.

use std::process::ExitCode;

use serde::Serialize;

use virtcontainers::Recovered;

use crate::args::operator::Gc;
use crate::args::{Format, Global};
use crate::commands::runtime;
use crate::output;

/// One sandbox in the JSON output.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(global: &Global, gc: Gc) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    let rows: Vec<Row> = runtime
        .recover(gc.dry_run)
        .await?
        .into_iter()
        .map(|Recovered { id, outcome }| Row {
            id: id.map_or_else(|| "?".to_owned(), |id| id.to_string()),
            outcome: outcome.as_ref().map_or("failed", |found| found.as_str()),
            error: outcome
                .err()
                .map(|error| format!("{:#}", anyhow::Error::new(error))),
        })
        .collect();
    let failed = rows.iter().any(|row| row.error.is_some());
    if gc.format == Format::Json {
        output::json(&rows)?;
    } else {
        let rows: Vec<[String; 3]> = rows
            .into_iter()
            .map(|row| {
                [
                    row.id,
                    row.outcome.to_owned(),
                    row.error.unwrap_or_default(),
                ]
            })
            .collect();
        output::table(["ID", "OUTCOME", "ERROR"], &rows)?;
    }
    Ok(ExitCode::from(u8::from(failed)))
}
