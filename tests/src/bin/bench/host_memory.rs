//! What one sandbox costs in memory on the host, beside QEMU and the file system daemon.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use virtcontainers_tests::Place;

use crate::figure::{Row, Samples, Target, Unit};
use crate::held::Held;
use crate::setting::Setting;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let place = Place::new()?;
    let mut sums = Vec::new();
    let mut parts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for number in 0..setting.pairs().div_ceil(3) {
        let held = Held::start(setting, &place, &format!("memory{number}"))?;
        let mut sum = 0.0;
        for (role, pid) in held.ours()? {
            let share = proportional_share(pid)?;
            sum += share;
            parts.entry(role).or_default().push(share);
        }
        sums.push(sum);
        held.end()?;
    }
    place.assert_clean()?;
    let sum = Row::new(
        "our host processes, PSS",
        Unit::Mebibytes,
        Samples::new(sums)?,
    );
    let mut rows = vec![sum.target(Target::Value(12.0))];
    for (role, shares) in parts {
        let what = format!("… of it {role}");
        rows.push(Row::new(what, Unit::Mebibytes, Samples::new(shares)?));
    }
    Ok(rows)
}

/// The process's proportional share of memory, in mebibytes (proc(5), `smaps_rollup`).
pub(crate) fn proportional_share(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let kilobytes = text.lines().find_map(|line| {
        let rest = line.strip_prefix("Pss:")?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    });
    Ok(kilobytes.with_context(|| format!("no Pss in {path}"))? / 1024.0)
}
