//! `vc check`: what this host can do.

use std::process::ExitCode;

use virtcontainers::check::{Verdict, host};

use crate::args::operator::Check;
use crate::args::{Format, Global};
use crate::commands::config;
use crate::output;

pub(crate) fn run(global: &Global, check: Check) -> anyhow::Result<ExitCode> {
    let items = host(&config(global)?);
    let able = items.iter().all(|item| item.verdict != Verdict::Missing);
    match check.format {
        Format::Json => output::json(&items)?,
        Format::Table => {
            let rows: Vec<[String; 3]> = items
                .iter()
                .map(|item| {
                    let detail = match &item.remedy {
                        Some(remedy) => format!("{}; {remedy}", item.detail),
                        None => item.detail.clone(),
                    };
                    [
                        item.name.to_owned(),
                        item.verdict.as_str().to_owned(),
                        detail,
                    ]
                })
                .collect();
            output::table(["WHAT", "VERDICT", "DETAIL"], &rows)?;
        }
    }
    Ok(if able {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
