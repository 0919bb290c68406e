//! The commands for those who run the host.

pub(crate) mod network;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use virtcontainers::types::{ContainerId, SandboxId};

use super::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what this host can do, with a remedy for each lack
    Check(Check),
    /// Tell versions, configuration, guest and host, for a report of a fault
    Env(Env),
    /// Print what guest and supervisor logged
    Logs(Logs),
    /// Open a debug shell in the guest, where the configuration enables it
    Console(Console),
    /// Tell everything that is known of a sandbox
    Inspect(Inspect),
    /// Clean up after everything that died midway
    Gc(Gc),
    /// List, pause, resume, stop and delete whole sandboxes
    Sandbox(SandboxGroup),
    /// Tell what a machine gets of a network namespace, and what its guest made of it
    Network(network::NetworkGroup),
    /// Measure what a sandbox of this configuration costs, as a Kubernetes RuntimeClass wants it
    Overhead(Overhead),
    /// Print a script that completes the command line
    Completions(Completions),
    /// Print the manual page, or write one page for each command
    Man(Man),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc check
  vc check --format json

The exit status is 1 when something is missing without which nothing runs.")]
pub(crate) struct Check {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc env
  vc env --format json")]
pub(crate) struct Env {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// Whose log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogSource {
    /// The guest's console: its kernel and its agent
    Console,
    /// The process that watches the sandbox on the host
    Supervisor,
    /// Both, each line with its source before it
    All,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc logs web
  vc logs --follow --source console web

What the processes of a container write is not here: it goes to whoever made the container.")]
pub(crate) struct Logs {
    /// Go on with what is logged from now on, until the sandbox ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Whose log
    #[arg(long, value_enum, default_value_t = LogSource::All)]
    pub(crate) source: LogSource,
    /// Id of a container
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc console web
  echo 'dmesg | tail' | vc console web

The shell is in the guest, outside its containers. It ends with `exit`; Ctrl-] leaves one that does
not answer. It is there for sandboxes that were made while the configuration said

  [agent.kata]
  debug_console_enabled = true")]
pub(crate) struct Console {
    /// Id of a container
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc inspect web
  vc inspect --format json web")]
pub(crate) struct Inspect {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
    /// Id of a container, or of its sandbox
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
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc sandbox list
  vc sandbox stats --format json web
  vc sandbox delete --force web")]
pub(crate) struct SandboxGroup {
    #[command(subcommand)]
    pub(crate) command: SandboxCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// List the sandboxes
    List(SandboxList),
    /// Tell what a sandbox and its containers are doing
    Status(SandboxShown),
    /// Tell what a sandbox costs on the host, and what its containers use in the guest
    Stats(SandboxShown),
    /// Halt the virtual machine
    Pause(SandboxPause),
    /// Let a paused virtual machine go on
    Resume(SandboxResume),
    /// End the virtual machine and keep its record
    Stop(SandboxStop),
    /// Remove a sandbox with all its containers
    Delete(SandboxDelete),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc sandbox list --format json")]
pub(crate) struct SandboxList {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Print ids alone
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc sandbox stats --format json web")]
pub(crate) struct SandboxShown {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Id of the sandbox
    pub(crate) id: SandboxId,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc sandbox pause web")]
pub(crate) struct SandboxPause {
    /// Id of the sandbox
    pub(crate) id: SandboxId,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc sandbox resume web")]
pub(crate) struct SandboxResume {
    /// Id of the sandbox
    pub(crate) id: SandboxId,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc sandbox stop --force web")]
pub(crate) struct SandboxStop {
    /// Go on when the guest does not answer
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Id of the sandbox
    pub(crate) id: SandboxId,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc sandbox delete --force web")]
pub(crate) struct SandboxDelete {
    /// Also when it runs; and succeed when there is no such sandbox
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Id of the sandbox
    pub(crate) id: SandboxId,
}

/// How `vc overhead` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverheadFormat {
    Table,
    Json,
    /// A Kubernetes manifest
    Yaml,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc overhead
  vc overhead --format yaml --name virtcontainers | kubectl apply -f -

A sandbox is made, left idle while it is measured, and removed. Memory is what the host has to spare
at most beyond what containers may use in the guest: the processes on the host without the guest's
memory, and of the guest's memory what its kernel and agent keep. Processor time is that of an idle
sandbox; what devices take under load depends on the load.")]
pub(crate) struct Overhead {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = OverheadFormat::Table)]
    pub(crate) format: OverheadFormat,
    /// Name of the RuntimeClass and of its handler
    #[arg(long, default_value = "vc", value_name = "NAME")]
    pub(crate) name: String,
    /// How long to watch the processor time of the idle sandbox, in seconds
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) duration: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("write a number of seconds from 1 to 3600".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc completions bash > /etc/bash_completion.d/vc
  vc completions zsh > /usr/local/share/zsh/site-functions/_vc")]
pub(crate) struct Completions {
    /// The shell that completes
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc man | man -l -
  vc man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Directory to write a page for each command into
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}
