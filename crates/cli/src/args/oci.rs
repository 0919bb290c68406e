//! The commands of an OCI runtime, with the names and flags that container managers know.

mod create;
mod exec;
mod update;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use virtcontainers::types::ContainerId;

use super::Format;

pub(crate) use create::{Create, Creation, Machine, Run};
pub(crate) use exec::{Exec, Process};
pub(crate) use update::Update;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a container; its program waits for start
    Create(Create),
    /// Start the program of a container that was created
    Start(Start),
    /// Run a container: create and start
    Run(Box<Run>),
    /// Run a further process in a running container
    Exec(Box<Exec>),
    /// List the containers
    List(List),
    /// Print the state of a container, as the OCI runtime specification says
    State(State),
    /// List the processes of a container
    Ps(Ps),
    /// Send a signal to a container
    Kill(Kill),
    /// Remove a container
    Delete(Delete),
    /// Freeze the processes of a container
    Pause(Pause),
    /// Let the processes of a paused container go on
    Resume(Resume),
    /// Change the limits of a container
    Update(Box<Update>),
    /// Print the counters of a container, and when it runs out of memory
    Events(Events),
    /// Write a config.json to start from
    Spec(Spec),
    /// Print what this runtime can do, as the OCI runtime specification says
    Features(Features),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc create --bundle /srv/bundle web && vc start web")]
pub(crate) struct Start {
    /// Id of the container
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc list --format json")]
pub(crate) struct List {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Print ids alone
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc state web")]
pub(crate) struct State {
    /// Id of the container
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc ps web
  vc ps --format json web
  vc ps web -o pid,args

Process ids of the table are those of the guest; with options, the container's own ps is run. The
array has the processes of the host that stand for the container and its execs.")]
pub(crate) struct Ps {
    /// How to print; json is an array of process ids of the host
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Id of the container
    pub(crate) id: ContainerId,
    /// Options for ps
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    pub(crate) options: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc kill web
  vc kill web KILL
  vc kill --all web 9

Signal 0 only asks whether the container can be signalled.")]
pub(crate) struct Kill {
    /// SIGKILL goes to all processes of the container, and one that has ended is no error; any
    /// other signal goes to its first process
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Id of the container
    pub(crate) id: ContainerId,
    /// Signal by name or number
    #[arg(default_value = "TERM")]
    pub(crate) signal: crate::signals::Signal,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vc delete web\n  vc delete --force web db")]
pub(crate) struct Delete {
    /// Also when it runs; and succeed when there is no such container
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Ids of the containers; the first of a pod takes all others with it
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<ContainerId>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc pause web")]
pub(crate) struct Pause {
    /// Id of the container
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc resume web")]
pub(crate) struct Resume {
    /// Id of the container
    pub(crate) id: ContainerId,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vc events --stats web\n  vc events --interval 1s web")]
pub(crate) struct Events {
    /// Time between two sets of counters, such as 500ms, 5s, 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Print the counters once, and end
    #[arg(long)]
    pub(crate) stats: bool,
    /// Id of the container
    pub(crate) id: ContainerId,
}

/// A number with a unit; a bare number is seconds.
fn interval(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and ms, s, m or h, such as 5s".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let time = number.checked_mul(millis).ok_or_else(wrong)?;
    match time {
        0 => Err("it is longer than nothing".to_owned()),
        time => Ok(Duration::from_millis(time)),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  mkdir -p bundle/rootfs && tar -C bundle/rootfs -xf busybox.tar
  vc spec --bundle bundle
  vc run --bundle bundle hello

A config.json that is there is left alone.")]
pub(crate) struct Spec {
    /// Directory to write it to
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc features")]
pub(crate) struct Features {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_as_people_write_them() {
        for (text, millis) in [("5s", 5000), ("500ms", 500), ("1m", 60_000), ("2", 2000)] {
            assert_eq!(interval(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "0s", "5d", "-1s", "99999999999999999999s"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
