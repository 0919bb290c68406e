//! `vc check`: what this host can do.

use std::process::ExitCode;

use virtcontainers::check::{Item, Verdict, host};

use crate::args::operator::Check;
use crate::args::{Format, Global};
use crate::commands::config;
use crate::output;

pub(crate) fn run(global: &Global, check: &Check) -> anyhow::Result<ExitCode> {
    let items = host(&config(global)?);
    let able = items.iter().all(|item| item.verdict != Verdict::Missing);
    match check.format {
        Format::Json => output::json(&items)?,
        Format::Table => {
            let rows: Vec<[String; 3]> = items.iter().map(row).collect();
            output::table(["WHAT", "VERDICT", "DETAIL"], &rows)?;
        }
    }
    Ok(if able {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn row(item: &Item) -> [String; 3] {
    let detail = match &item.remedy {
        Some(remedy) => format!("{}; {remedy}", item.detail),
        None => item.detail.clone(),
    };
    let verdict = item.verdict.as_str().to_owned();
    [item.name.to_owned(), verdict, detail]
}
