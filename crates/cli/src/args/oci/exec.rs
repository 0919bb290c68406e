//! Arguments of further processes.

use std::path::PathBuf;

use clap::Args;
use virtcontainers::types::ContainerId;

use super::create::no_descriptors;

/// How a command runs.
#[derive(Debug, Args)]
pub(crate) struct Process {
    /// Give the process a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set an environment variable (may be repeated)
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// User, and optionally group, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc exec web ps
  vc exec --env A=1 --user nobody -t web sh
  vc exec --process process.json --detach --pid-file /run/job.pid web

What is not said is as for the container's own process. The exit status is the command's; 127 when
it does not exist, 126 when it cannot be executed, 128 + N when signal N ended it, 255 when the
virtual machine was lost, 1 for failures of vc.")]
pub(crate) struct Exec {
    #[command(flatten)]
    pub(crate) process: Process,
    /// JSON file with the process to run, as in a bundle's config.json
    #[arg(
        short = 'p',
        long = "process",
        value_name = "FILE",
        conflicts_with = "command"
    )]
    pub(crate) file: Option<PathBuf>,
    /// Further group, by number (may be repeated)
    #[arg(short = 'g', long, value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    /// Further capability, such as CAP_NET_ADMIN (may be repeated)
    #[arg(short, long, value_name = "CAP")]
    pub(crate) cap: Vec<String>,
    /// The process and its children cannot gain privileges
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// Return when the process runs, and leave it running
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// File to write the process id to, last of all: the process stands for the one in the guest,
    /// and ends with its status
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Unix socket that is sent the master of the process's terminal
    #[arg(long, value_name = "PATH")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Only 0 is accepted: descriptors do not cross into a virtual machine
    #[arg(long, value_name = "N", default_value = "0", value_parser = no_descriptors, hide_default_value = true)]
    pub(crate) preserve_fds: u32,
    /// Accepted, with a warning: the guest has no SELinux
    #[arg(long, value_name = "LABEL")]
    pub(crate) process_label: Option<String>,
    /// Accepted, with a warning: the guest has no AppArmor
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    /// Refused: control groups below the container's are the guest's
    #[arg(long, value_name = "PATH", value_parser = no_cgroup)]
    pub(crate) cgroup: Option<String>,
    /// Accepted: in a paused container the process would not run, so it is refused there all the same
    #[arg(long)]
    pub(crate) ignore_paused: bool,
    /// Id of the container
    pub(crate) id: ContainerId,
    /// Program and arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "file",
        value_name = "CMD"
    )]
    pub(crate) command: Vec<String>,
}

fn no_cgroup(_: &str) -> Result<String, String> {
    let why = "control groups below the container's are the guest's, and cannot be named from outside: \
               leave it out";
    Err(why.to_owned())
}
