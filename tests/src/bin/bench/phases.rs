//! Where the time from the start to the workload goes.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;
use virtcontainers_tests::Place;

use crate::figure::{Row, Samples, Unit};
use crate::setting::{Setting, vc_run};

/// Tells of each phase in words for programs.
pub(crate) const OPTIONS: &[&str] = &["--verbose", "--log-format", "json"];

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let place = Place::new()?;
    let mut order = Vec::new();
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for number in 0..setting.pairs() {
        let id = place.id(&format!("phases{number}"));
        let run = vc_run(setting, &place, &id, OPTIONS, &["true"]);
        let finished = run.finish()?.expect(0)?;
        for (phase, millis) in phases(&finished.stderr) {
            if number == 0 {
                order.push(phase.clone());
            }
            times.entry(phase).or_default().push(millis);
        }
    }
    place.assert_clean()?;
    let row = |phase: String| -> Result<Row> {
        let samples = times.remove(&phase).context("a phase without a time")?;
        let what = format!("phase {phase}");
        Ok(Row::new(what, Unit::Milliseconds, Samples::new(samples)?))
    };
    order.into_iter().map(row).collect()
}

/// The phases that a run told of, in order, with their times.
pub(crate) fn phases(log: &str) -> Vec<(String, f64)> {
    let phase = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some((line["phase"].as_str()?.to_owned(), line["millis"].as_f64()?))
    };
    log.lines().filter_map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_phases_count() {
        let log = r#"noise
{"level":"info","msg":"guests are emulated"}
{"level":"info","millis":24,"msg":"phase completed","phase":"launch"}"#;
        assert_eq!(phases(log), [("launch".to_owned(), 24.0)]);
    }
}
