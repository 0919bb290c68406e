//! What a process costs that holds sandboxes and supervises them itself.

use anyhow::{Context, Result};
use virtcontainers_tests::program::Program;

use super::rig::Rig;
use crate::figure::{Row, Samples, Target, Unit};

/// Tells this program to hold as many sandboxes, say what that costs, and end.
const HOLD: &str = "VC_BENCH_HOLD";

pub(super) fn measure() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (sandboxes, most) in [(0, 6.0), (1000, 12.0)] {
        let ourselves = Program::new(std::env::current_exe()?);
        let held = ourselves.env(HOLD, sandboxes.to_string()).finish()?;
        let kib: f64 = held.expect(0)?.text().trim().parse().context("no number of KiB")?;
        let what = format!("resident memory of a process that holds {sandboxes} sandboxes");
        let row = Row::new(what, Unit::Mebibytes, Samples::one(kib / 1024.0));
        rows.push(row.target(Target::Value(most)));
    }
    Ok(rows)
}

/// Holds sandboxes, if this program was started for that, and prints its resident memory in KiB.
pub(crate) fn hold_if_asked() -> Result<bool> {
    let Ok(sandboxes) = std::env::var(HOLD) else {
        return Ok(false);
    };
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    executor.block_on(async {
        let rig = Rig::new()?;
        let mut held = Vec::new();
        for number in 0..sandboxes.parse::<usize>()? {
            held.push(rig.create(&format!("held-{number}"), 1).await?);
        }
        println!("{}", resident()?);
        for sandbox in held {
            sandbox.delete(true).await?;
        }
        Ok(true)
    })
}

/// `VmRSS` of proc(5), in KiB.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS")?.parse()?)
}
