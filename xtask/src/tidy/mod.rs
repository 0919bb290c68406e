//! `tidy`: the rules of shape that no compiler checks. Each rule is a pure function from a file's
//! text to findings; this file collects the files and prints what was found.

mod backends;
mod beside;
mod effects;
mod files;
mod links;
mod promises;
mod rust;
mod shape;

use std::process::ExitCode;

use anyhow::{Result, bail};
use pico_args::Arguments;

use crate::progress::note;
use crate::tasks::finish;
use crate::workspace;
use files::Files;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// Relative to the workspace's root.
    path: String,
    /// Counted from one; zero stands for the whole file.
    line: usize,
    /// The rule, said so that the remedy is clear.
    text: String,
}

impl Finding {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// The task.
pub(crate) fn task(args: Arguments) -> Result<ExitCode> {
    finish(args)?;
    run()?;
    Ok(ExitCode::SUCCESS)
}

/// Fails when a file breaks a rule.
pub(crate) fn run() -> Result<()> {
    let files = Files::collect(&workspace::root())?;
    let mut findings = beside::check(&files);
    findings.extend(promises::check(&files));
    for file in files.rust() {
        let code = rust::Code::of(&file.text);
        findings.extend(shape::check(file, &code));
        findings.extend(backends::check(file, &code));
        findings.extend(effects::check(file, &code));
    }
    for file in files.markdown() {
        findings.extend(links::check(file, &files));
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    let lengths = shape::Lengths::of(files.rust());
    note(format!("tidy: {} Rust files, {lengths}", lengths.count()));
    if !findings.is_empty() {
        bail!(
            "{} findings: the rules are in xtask/src/tidy",
            findings.len()
        );
    }
    Ok(())
}
