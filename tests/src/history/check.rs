//! Asks of each line of a history whether it could be.

mod calls;
mod records;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Line, Timeline};

/// What was found in a history.
#[derive(Debug, Default)]
pub struct Findings {
    /// What cannot be.
    pub problems: Vec<String>,
    /// How many of what there were.
    pub counts: BTreeMap<String, u64>,
    /// The longest call of each operation.
    pub longest: BTreeMap<String, Duration>,
}

impl Findings {
    fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:>6} {what}")?;
        }
        for (what, took) in &self.longest {
            writeln!(f, "{:>6} ms at most: {what}", took.as_millis())?;
        }
        for problem in &self.problems {
            writeln!(f, "PROBLEM: {problem}")?;
        }
        Ok(())
    }
}

/// What the actors of a history were promised.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// How long a call waits for the lock.
    pub lock: Duration,
    /// How long a whole call takes at most.
    pub call: Duration,
}

/// Looks for what cannot be in a history in which nobody died.
pub fn check(lines: &[Line], promise: Promise) -> Findings {
    let mut findings = Findings::default();
    let timeline = Timeline::new(lines);
    records::check(&timeline, &mut findings);
    records::check_reads(lines, &timeline, &mut findings);
    calls::check(lines, &timeline, promise, &mut findings);
    findings
}

#[cfg(test)]
mod tests;
