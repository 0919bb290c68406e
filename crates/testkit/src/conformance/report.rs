//! What came out of a run of a suite.

use std::fmt;

/// How it went with one promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is kept.
    Passed,
    /// It is broken, and how.
    Failed(String),
    /// It says nothing of this implementation, and why.
    Skipped(String),
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The promise's name.
    pub name: &'static str,
    /// The promise.
    pub sentence: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// What came out of a run of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The suite.
    pub suite: &'static str,
    /// What was tried.
    pub subject: String,
    /// The promises in their order.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The names of the broken promises.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = |finding: &&Finding| matches!(finding.outcome, Outcome::Failed(_));
        let failed = self.findings.iter().filter(failed);
        failed.map(|finding| finding.name).collect()
    }

    /// The names of the promises that say nothing of this implementation.
    pub fn skipped(&self) -> Vec<&'static str> {
        let skipped = |finding: &&Finding| matches!(finding.outcome, Outcome::Skipped(_));
        let skipped = self.findings.iter().filter(skipped);
        skipped.map(|finding| finding.name).collect()
    }

    /// Prints the report, and fails if a promise is broken.
    ///
    /// # Panics
    ///
    /// With the report, if one is.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.failed().is_empty(), "promises are broken\n{self}");
        println!("{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, skipped) = (self.failed().len(), self.skipped().len());
        let passed = self.findings.len() - failed - skipped;
        writeln!(
            f,
            "{} suite, {}: {passed} passed, {failed} failed, {skipped} skipped",
            self.suite, self.subject
        )?;
        for finding in &self.findings {
            let name = finding.name;
            match &finding.outcome {
                Outcome::Passed => writeln!(f, "  passed   {name}")?,
                Outcome::Skipped(why) => writeln!(f, "  skipped  {name}: {why}")?,
                Outcome::Failed(how) => {
                    writeln!(f, "  FAILED   {name}: {how}")?;
                    writeln!(f, "           promised: {}", finding.sentence)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_and_says_what_was_promised() {
        let finding = |name, outcome| Finding {
            name,
            sentence: "All is well.",
            outcome,
        };
        let report = Report {
            suite: "some",
            subject: "thing".to_owned(),
            findings: vec![
                finding("one", Outcome::Passed),
                finding("two", Outcome::Failed("it is not".to_owned())),
                finding("three", Outcome::Skipped("lacks pause".to_owned())),
            ],
        };
        assert_eq!(report.failed(), ["two"]);
        assert_eq!(report.skipped(), ["three"]);
        let expected = "\
some suite, thing: 1 passed, 1 failed, 1 skipped
  passed   one
  FAILED   two: it is not
           promised: All is well.
  skipped  three: lacks pause
";
        assert_eq!(report.to_string(), expected);
    }
}
