//! Connecting interfaces and taking the connection back, against a script of `ip` and `tc` that does
//! the same. Another program does both in turns, without a machine, and tells the medians.

use anyhow::{Context, Result};
use serde_json::Value;
use virtcontainers_tests::program::Program;

use crate::figure::{Row, Samples, Target, Unit};
use crate::setting::Setting;

/// What is measured: its name in what the program tells, and for people.
const PARTS: [(&str, &str); 2] = [("set_up", "connect"), ("tear_down", "take back")];

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let rounds = setting.many_pairs();
    let speed = Program::new(&setting.network_speed).arg(rounds.to_string());
    let told = speed.finish()?.expect(0)?.text();
    let mut rows = Vec::new();
    for line in told.lines() {
        let told: Value = serde_json::from_str(line)?;
        for (name, what) in PARTS {
            rows.push(row(&told, name, what, rounds).with_context(|| line.to_owned())?);
        }
    }
    Ok(rows)
}

fn row(told: &Value, name: &str, what: &str, rounds: usize) -> Result<Row> {
    let number = |key: String| told[&key].as_f64().context(key);
    let (ours, script) = (
        number(format!("{name}_ms"))?,
        number(format!("script_{name}_ms"))?,
    );
    let count = told["interfaces"].as_u64().context("no count")?;
    let model = told["model"].as_str().context("no model")?;
    let plural = if count == 1 { "" } else { "s" };
    let what = format!("{what} {count} interface{plural}, {model}");
    let row = Row::new(what, Unit::Milliseconds, Samples::one(ours));
    Ok(row
        .against("script", Samples::one(script))
        .target(Target::Ratio(0.5))
        .note(format!("medians of {rounds}")))
}
