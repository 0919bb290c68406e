//! The command line as types: the single source of parsing and help.

pub(crate) mod oci;
pub(crate) mod operator;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs containers inside lightweight virtual machines.
#[derive(Debug, Parser)]
#[command(
    name = "vc",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  vc check
  vc run --rootfs /srv/busybox hello -- uname -a
  vc run --bundle /srv/bundle web
  vc exec web ps"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Directory of the state [default: /run/vc]
    #[arg(long, global = true, env = "VC_ROOT", value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Configuration file [default: /etc/virtcontainers/configuration.toml, if there is one]
    #[arg(long, global = true, env = "VC_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Show the phases of a start with their times; twice for details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How messages on standard error are written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Oci(oci::Command),
    #[command(flatten)]
    Operator(operator::Command),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_command_may_have_options_of_its_own() {
        for line in [
            "vc run --rootfs /r x -- ls -l",
            "vc run --rootfs /r x ls -l",
        ] {
            let Command::Oci(oci::Command::Run(run)) = parse(line).unwrap().command else {
                panic!("{line}")
            };
            assert_eq!(run.command, ["ls", "-l"], "{line}");
        }
        let Command::Oci(oci::Command::Exec(exec)) =
            parse("vc exec -t x sh -c true").unwrap().command
        else {
            panic!("exec")
        };
        assert_eq!(exec.command, ["sh", "-c", "true"]);
        assert!(exec.process.tty);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for line in [
            "vc run a/b",
            "vc run --bundle /b --rootfs /r x -- true",
            "vc run x -- true",
            "vc run --rootfs /r --memory lots x -- true",
            "vc run --rootfs /r --cpus 0 x -- true",
            "vc run --rootfs /r --volume rel:/x x -- true",
            "vc exec x",
            "vc kill x NOSUCH",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Arguments::command().get_subcommands() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }
}
