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
    after_help = "\
Examples:
  vc check
  vc run --rootfs /srv/busybox hello -- uname -a
  vc create --bundle /srv/bundle web && vc start web
  vc exec web ps

Every command of an OCI runtime is here, so that a container manager can use this program:
  podman --runtime /usr/local/bin/vc run --rm alpine uname -a"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Directory of the state [default: /run/vc]
    #[arg(
        long,
        global = true,
        env = "VC_ROOT",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(crate) root: Option<PathBuf>,
    /// Configuration file [default: /etc/virtcontainers/configuration.toml, if there is one]
    #[arg(
        long,
        global = true,
        env = "VC_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Show the phases of a start with their times; twice for details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// File to append messages to; standard error then gets the final error alone
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// How messages are written, in the log file if there is one, else on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Tell everything: as --verbose twice
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Read a bundle's cgroupsPath as slice:prefix:name, and have systemd make the control group
    #[arg(long, global = true)]
    pub(crate) systemd_cgroup: bool,
    /// Accepted when false or auto: virtual machines need root for now
    #[arg(long, global = true, value_name = "WHETHER", action = clap::ArgAction::Set, value_parser = rootless, default_value = "auto", hide_default_value = true)]
    pub(crate) rootless: bool,
}

/// Only a plain yes is refused.
fn rootless(text: &str) -> Result<bool, String> {
    match text {
        "auto" | "false" | "0" => Ok(false),
        "true" | "1" => Err("vc cannot run without root privileges yet: run it as root".to_owned()),
        _ => Err("write true, false or auto".to_owned()),
    }
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
        for line in ["vc ps x", "vc ps x -ef", "vc ps --format json x aux"] {
            assert!(parse(line).is_ok(), "{line}");
        }
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
            "vc exec --process p.json x true",
            "vc exec --preserve-fds 1 x true",
            "vc create --preserve-fds 3 x",
            "vc run --keep --rootfs /r",
            "vc --rootless true list",
            "vc kill x NOSUCH",
            "vc kill x 65",
            "vc delete",
            "vc events --interval 0s x",
            "vc update --memory lots x",
            "vc checkpoint x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_managers_write_is_understood() {
        for line in [
            "vc --root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p --no-pivot --no-new-keyring --console-socket /s x",
            "vc --systemd-cgroup --root /r start x",
            "vc create -b /b --preserve-fds 0 x",
            "vc exec --console-socket /s --process /p --detach --pid-file /f x",
            "vc exec --pid-file /f --process /p --detach --tty x",
            "vc kill --all x 9",
            "vc kill x 0",
            "vc delete --force x y",
            "vc ps --format json x",
            "vc update --resources - x",
            "vc update --memory 64M --memory-swap -1 --cpu-quota -1 x",
            "vc --rootless=auto --debug state x",
            "vc events --stats x",
        ] {
            if let Err(error) = parse(line) {
                panic!("{line}: {error}");
            }
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
