//! The commands of an OCI runtime.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use virtcontainers::types::{ContainerId, Mebibytes, VcpuCount, Volume};

use super::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a container in a virtual machine of its own
    Run(Box<Run>),
    /// Run a further process in a running container
    Exec(Exec),
    /// List the containers
    List(List),
    /// Print the state of a container, as the OCI runtime specification says
    State(State),
    /// Send a signal to a container
    Kill(Kill),
    /// Remove a container
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Machine {
    /// Memory of the virtual machine: a number is MiB, or use K, M, G [default: 256M]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Mebibytes>,
    /// CPUs of the virtual machine [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<VcpuCount>,
    /// Guest kernel to boot
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// Initial RAM disk of the guest
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// Disk image with the guest's root file system, instead of an initial RAM disk
    #[arg(long, value_name = "FILE", conflicts_with = "initrd")]
    pub(crate) image: Option<PathBuf>,
    /// Words to add to the guest kernel's command line
    #[arg(long, value_name = "WORDS")]
    pub(crate) kernel_params: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc run --rootfs /srv/busybox hello -- uname -a
  vc run --rootfs /srv/busybox -t --memory 512M shell -- sh
  vc run --bundle /srv/bundle --detach web

The exit status is the command's; 127 when it does not exist, 126 when it cannot be executed,
128 + N when signal N ended it, 255 when the virtual machine was lost, 1 for failures of vc.")]
pub(crate) struct Run {
    /// OCI bundle: a directory with config.json and a root file system
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = ".",
        conflicts_with = "rootfs"
    )]
    pub(crate) bundle: PathBuf,
    /// Root file system to run a command in, without a bundle
    #[arg(long, value_name = "DIR")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Return when the container runs, and leave it running
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) process: Process,
    /// Share a file or directory: HOST:GUEST or HOST:GUEST:ro (may be repeated)
    #[arg(long, value_name = "SPEC", requires = "rootfs")]
    pub(crate) volume: Vec<Volume>,
    /// Host name in the container
    #[arg(long, value_name = "NAME", requires = "rootfs")]
    pub(crate) hostname: Option<String>,
    /// Make the root file system read-only
    #[arg(long, requires = "rootfs")]
    pub(crate) read_only: bool,
    /// Id of the container
    pub(crate) id: ContainerId,
    /// Program and arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        requires = "rootfs",
        value_name = "CMD"
    )]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Process {
    /// Give the process a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set an environment variable (may be repeated)
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Working directory in the container [default: /]
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// User, and optionally group, by name or number [default: root]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc exec --env A=1 -t web sh")]
pub(crate) struct Exec {
    #[command(flatten)]
    pub(crate) process: Process,
    /// Id of the container
    pub(crate) id: ContainerId,
    /// Program and arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "CMD"
    )]
    pub(crate) command: Vec<String>,
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
#[command(after_help = "Examples:\n  vc kill web\n  vc kill web KILL\n  vc kill --all web 9")]
pub(crate) struct Kill {
    /// Send SIGKILL to all processes of the container, whatever SIGNAL is
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Id of the container
    pub(crate) id: ContainerId,
    /// Signal by name or number
    #[arg(default_value = "TERM")]
    pub(crate) signal: crate::signals::Signal,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc delete --force web")]
pub(crate) struct Delete {
    /// Also when it runs; and succeed when there is no such container
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Id of the container
    pub(crate) id: ContainerId,
}
