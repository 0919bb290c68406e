//! The commands for those who run the host.

use clap::{Args, Subcommand};
use virtcontainers::types::ContainerId;

use super::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what this host can do, with a remedy for each lack
    Check(Check),
    /// Print the console of the guest
    Logs(Logs),
    /// Clean up after everything that died midway
    Gc(Gc),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc check --format json")]
pub(crate) struct Check {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc logs web")]
pub(crate) struct Logs {
    /// Id of the container
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc gc --dry-run
  vc gc --format json

Every sandbox is sound, busy (somebody is at it), settled (an interrupted operation was taken back),
undone (its supervisor had died) or removed (it was never completed, or cannot be read).")]
pub(crate) struct Gc {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}
