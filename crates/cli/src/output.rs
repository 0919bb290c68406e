//! What people and programs get to see: errors, tables, JSON.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;
use virtcontainers::{BootReport, ErrorKind, RuntimeError};

use crate::logging::Log;

/// The exit code of failures that are ours.
const FAILURE: u8 = 1;
/// The exit code when the virtual machine or its agent was lost.
const LOST: u8 = 255;

/// Tells why a command failed, and gives its exit code.
pub(crate) fn failure(error: &anyhow::Error, log: &Log) -> ExitCode {
    let cause = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<RuntimeError>());
    let report = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<RuntimeError>()?.boot_report());
    let message = message(error);
    let others = report.map(|report| ("boot".to_owned(), json!(report)));
    let tell = || eprint!("{}", text(&message, report));
    log.error(&message, others.into_iter().collect(), tell);
    let command = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<RuntimeError>()?.exit_status());
    if let Some(status) = command {
        return ExitCode::from(status.code());
    }
    let lost = cause.is_some_and(|error| error.kind() == ErrorKind::Gone && report.is_none());
    ExitCode::from(if lost { LOST } else { FAILURE })
}

/// The error and its causes in one line; a cause that repeats what was said is left out.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn text(message: &str, report: Option<&BootReport>) -> String {
    let mut text = format!("vc: error: {message}\n");
    for line in report
        .map(ToString::to_string)
        .iter()
        .flat_map(|text| text.lines())
    {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// Prints help or what is wrong with the arguments. Help goes to standard output, errors do not.
pub(crate) fn usage(error: &clap::Error, log: &Log) -> ExitCode {
    if error.kind() == clap::error::ErrorKind::DisplayVersion {
        // A closed standard stream is no reason for another message, here and below.
        print(&version()).unwrap_or_default();
        return ExitCode::SUCCESS;
    }
    if !error.use_stderr() {
        error.print().unwrap_or_default();
        return ExitCode::SUCCESS;
    }
    let plain = error.render().to_string();
    let first: Vec<&str> = plain.lines().take_while(|line| !line.is_empty()).collect();
    let first: Vec<&str> = first.into_iter().map(str::trim).collect();
    let message = first.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let tell = || error.print().unwrap_or_default();
    log.error(message, serde_json::Map::new(), tell);
    ExitCode::from(FAILURE)
}

/// As runc writes it, since programs read it.
fn version() -> String {
    format!(
        "vc version {}\ncommit: {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        option_env!("VC_COMMIT").unwrap_or("unknown"),
        virtcontainers::oci::State::OCI_VERSION,
    )
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    print(&format!("{text}\n"))
}

/// Prints rows below a heading, in columns.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
) -> anyhow::Result<()> {
    let mut widths = heading.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&heading.map(str::to_owned)).chain(rows) {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    print(&text)
}

/// Prints text as it is. A reader that left is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_bytes(text.as_bytes())
}

/// Prints bytes; those from a guest without what could steer a terminal, if it is one.
pub(crate) fn print_guest_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    if !std::io::stdout().is_terminal() {
        return print_bytes(bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let harmless = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    print_bytes(text.chars().filter(harmless).collect::<String>().as_bytes())
}

fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
