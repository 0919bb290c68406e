//! `vc man`: manual pages, from the definition that `--help` is made from.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;

use crate::args::Arguments;
use crate::args::operator::Man;
use crate::output;

pub(crate) fn run(man: &Man) -> anyhow::Result<ExitCode> {
    match &man.directory {
        None => output::print(&page()?)?,
        Some(directory) => write_all(directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The definition without `help`, which has no page.
fn command() -> clap::Command {
    Arguments::command().disable_help_subcommand(true)
}

/// The page of the program itself, which lists the commands.
fn page() -> anyhow::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command()).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

/// A page for the program, and one for each command: `vc-run.1`.
fn write_all(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command(), directory))
        .with_context(|| format!("cannot write the pages into {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_sections_that_readers_look_for() {
        let page = page().unwrap();
        for section in ["NAME", "SYNOPSIS", "OPTIONS", "SUBCOMMANDS"] {
            assert!(page.contains(&format!(".SH {section}")), "{section}");
        }
        assert!(page.contains("vc\\-run"), "{page}");
    }
}
