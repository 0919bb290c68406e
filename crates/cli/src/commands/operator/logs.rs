//! `vc logs`: the guest's console, and what the supervisor said.

use std::pin::pin;
use std::process::ExitCode;

use virtcontainers::Error;
use virtcontainers::logs::{LogLine, LogSource, Logs};

use crate::args::Global;
use crate::args::operator as args;
use crate::commands::runtime;
use crate::output;

pub(crate) async fn run(global: &Global, wanted: args::Logs) -> anyhow::Result<ExitCode> {
    let (config, runtime) = runtime(global)?;
    let id = super::sandbox_id(&runtime, &wanted.id).await?;
    let sandbox = runtime.fetch_sandbox(&id).await?;
    let sources: &[LogSource] = match wanted.source {
        args::LogSource::Console => &[LogSource::Console],
        args::LogSource::Supervisor => &[LogSource::Supervisor],
        args::LogSource::All => &[LogSource::Console, LogSource::Supervisor],
    };
    let mut logs = Logs::open(&config, &id, sources)?;
    let mut shown = logs.read()?;
    if wanted.follow {
        let mut end = pin!(sandbox.monitor());
        loop {
            print(&shown, wanted.source)?;
            tokio::select! {
                // However it ended, what was logged until then is shown.
                _ended = &mut end => break,
                changed = logs.changed() => changed?,
            }
            shown = logs.read()?;
        }
        shown = last_lines(&mut logs)?;
    } else {
        shown.extend(logs.rest());
    }
    print(&shown, wanted.source)?;
    Ok(ExitCode::SUCCESS)
}

fn last_lines(logs: &mut Logs) -> Result<Vec<LogLine>, Error> {
    let mut lines = logs.read()?;
    lines.extend(logs.rest());
    Ok(lines)
}

fn print(lines: &[LogLine], wanted: args::LogSource) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    for line in lines {
        if wanted == args::LogSource::All {
            bytes.extend_from_slice(format!("{:<11}| ", line.source.as_str()).as_bytes());
        }
        bytes.extend_from_slice(&line.text);
        bytes.push(b'\n');
    }
    output::print_guest_bytes(&bytes)
}
