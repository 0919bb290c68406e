//! `layers`: compares the arrows between this workspace's packages, as cargo knows them, with the
//! table in `table.rs`, and fails on every arrow that is not in it.

mod check;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};
use pico_args::Arguments;

use crate::cargo;
use crate::progress::note;
use crate::tasks::finish;

/// The task.
pub(crate) fn task(args: Arguments) -> Result<ExitCode> {
    finish(args)?;
    run()?;
    Ok(ExitCode::SUCCESS)
}

/// Fails when an arrow is not in the table.
pub(crate) fn run() -> Result<()> {
    let packages = check::parse(&cargo::metadata()?)?;
    let faults = check::check(&packages);
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        bail!(
            "{} arrows between crates are not allowed: see xtask/src/layers/table.rs",
            faults.len()
        );
    }
    let arrows: usize = packages.iter().map(|package| package.edges.len()).sum();
    note(format!(
        "layers: {} packages and {arrows} arrows as in the table",
        packages.len()
    ));
    Ok(())
}
