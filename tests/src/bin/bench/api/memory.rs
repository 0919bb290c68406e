//! What a process costs that has handles on sandboxes, and one that supervises them itself.

use anyhow::{Context, Result};
use virtcontainers_tests::program::Program;

use super::rig::Rig;
use crate::figure::{Row, Samples, Target, Unit};

/// Tells this program to supervise as many sandboxes, say what that costs, and end.
const SUPERVISE: &str = "VC_BENCH_SUPERVISE";
/// Tells this program to fetch handles on all sandboxes under a root, say what that costs, and end.
const FETCH: &str = "VC_BENCH_FETCH";

pub(super) fn measure() -> Result<Vec<Row>> {
    let [nothing, _] = supervise(0)?;
    let [supervised, handles] = supervise(1000)?;
    let row = |what: &str, kib: f64, most| {
        let what = format!("resident memory of a process that {what}");
        Row::new(what, Unit::Mebibytes, Samples::one(kib / 1024.0)).target(Target::Value(most))
    };
    Ok(vec![
        row("holds no sandbox", nothing, 6.0),
        row("holds 1000 sandboxes", handles, 12.0),
        row("holds and supervises 1000 sandboxes", supervised, 12.0),
    ])
}

/// KiB of a process that supervises sandboxes, and of another that has handles on them.
fn supervise(sandboxes: usize) -> Result<[f64; 2]> {
    let ourselves = Program::new(std::env::current_exe()?);
    let held = ourselves.env(SUPERVISE, sandboxes.to_string()).finish()?;
    let text = held.expect(0)?.text();
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next().context("a number is missing");
    Ok([next()??, next()??])
}

/// Does its part, if this program was started for one.
pub(crate) fn hold_if_asked() -> Result<bool> {
    let executor = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    // Whoever fetches was started by one who supervises, and has its environment.
    if let Ok(root) = std::env::var(FETCH) {
        executor()?.block_on(fetch(root))?;
    } else if let Ok(sandboxes) = std::env::var(SUPERVISE) {
        executor()?.block_on(hold(sandboxes.parse()?))?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

async fn hold(sandboxes: usize) -> Result<()> {
    let rig = Rig::new()?;
    let mut held = Vec::new();
    for number in 0..sandboxes {
        held.push(rig.create(&format!("held-{number}"), 1).await?);
    }
    println!("{}", resident()?);
    let other = Program::new(std::env::current_exe()?).env(FETCH, rig.root());
    println!("{}", other.finish()?.expect(0)?.text());
    for sandbox in held {
        sandbox.delete(true).await?;
    }
    Ok(())
}

async fn fetch(root: String) -> Result<()> {
    let runtime = Rig::runtime(root)?;
    let mut handles = Vec::new();
    for listed in runtime.list_sandboxes().await? {
        handles.push(runtime.fetch_sandbox(&listed.status?.id).await?);
    }
    println!("{}", resident()?);
    drop(handles);
    Ok(())
}

/// `VmRSS` of proc(5), in KiB.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS")?.parse()?)
}
