//! Runs of test suites: with cargo-nextest where it is installed, else with cargo's own runner.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::cargo;
use crate::cmd::is_installed;
use crate::tally::Tally;

/// The package of the workspace's own tests, which start real virtual machines.
const REAL: &str = "virtcontainers-tests";

/// The suites: the test programs of this name in all packages.
const CONFORMANCE: &str = "--workspace --test conformance";

/// Which tests to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Every test of the workspace but those with real virtual machines, after a build of the whole
    /// workspace.
    AllButReal,
    /// Those with real virtual machines, after a build of the whole workspace.
    Real,
    /// Those with real virtual machines whose name contains the text, without building the rest.
    RealNamed(Option<String>),
    /// The conformance suites, with their reports.
    Conformance,
}

/// Runs the selected tests to their end, shows their output and counts them.
pub(crate) fn run(
    selection: &Selection,
    environment: &[(&'static str, OsString)],
    tally: &mut Tally,
) -> Result<()> {
    let words = if is_installed("cargo-nextest") {
        nextest(selection)
    } else {
        cargo_test(selection)
    };
    run_words(&words, environment, tally)
}

/// Runs the examples in the documentation.
pub(crate) fn doc_tests(tally: &mut Tally) -> Result<()> {
    run_words(
        &["test", "--quiet", "--doc", "--workspace"].map(String::from),
        &[],
        tally,
    )
}

fn run_words(
    words: &[String],
    environment: &[(&'static str, OsString)],
    tally: &mut Tally,
) -> Result<()> {
    let command = cargo::host().args(words).envs(environment);
    cargo::with_colors(command)
        .run_lines(|line| {
            tally.read(line);
            true
        })
        .context("tests failed")
}

fn nextest(selection: &Selection) -> Vec<String> {
    let filter = match selection {
        Selection::AllButReal => format!("--workspace -E not@package({REAL})"),
        Selection::Real => format!("--workspace -E package({REAL})"),
        Selection::RealNamed(None) => format!("--package {REAL}"),
        Selection::RealNamed(Some(name)) => format!("--package {REAL} -E test({name})"),
        // Their reports are what it is for.
        Selection::Conformance => format!("{CONFORMANCE} --success-output immediate"),
    };
    line("nextest run --no-fail-fast", &filter)
}

fn cargo_test(selection: &Selection) -> Vec<String> {
    let filter = match selection {
        Selection::AllButReal => format!("--workspace --exclude {REAL} --lib --bins --tests"),
        Selection::Real | Selection::RealNamed(None) => format!("--package {REAL}"),
        Selection::RealNamed(Some(name)) => format!("--package {REAL} {name}"),
        Selection::Conformance => format!("{CONFORMANCE} -- --nocapture"),
    };
    line("test --no-fail-fast", &filter)
}

/// Words from two texts; `@` stands for a space inside a word.
fn line(start: &str, rest: &str) -> Vec<String> {
    let words = start.split(' ').chain(rest.split(' '));
    words.map(|word| word.replace('@', " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_halves_of_the_gate_select_packages_alike_so_that_nothing_is_built_twice() {
        let start = ["nextest", "run", "--no-fail-fast", "--workspace", "-E"];
        let (others, real) = (nextest(&Selection::AllButReal), nextest(&Selection::Real));
        assert_eq!(others[..5], start);
        assert_eq!(real[..5], start);
        assert_eq!(others[5], format!("not {}", real[5]));
    }

    #[test]
    fn a_name_narrows_either_runner() {
        let named = Selection::RealNamed(Some("boot".into()));
        assert_eq!(
            nextest(&named).last().map(String::as_str),
            Some("test(boot)")
        );
        assert_eq!(cargo_test(&named).last().map(String::as_str), Some("boot"));
    }
}
