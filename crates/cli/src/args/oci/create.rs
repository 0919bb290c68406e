//! Arguments of the commands that make a container.

use std::path::PathBuf;

use clap::Args;
use virtcontainers::types::{ContainerId, Mebibytes, VcpuCount, Volume};

use super::Process;

/// How a container is made from a bundle.
#[derive(Debug, Args)]
pub(crate) struct Creation {
    /// OCI bundle: a directory with config.json and a root file system
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Unix socket that is sent the master of the container's terminal
    #[arg(long, value_name = "PATH")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File to write the process id to, last of all: the process stands for the container on the
    /// host, and ends with its status
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Only 0 is accepted: descriptors do not cross into a virtual machine
    #[arg(long, value_name = "N", default_value = "0", value_parser = no_descriptors, hide_default_value = true)]
    pub(crate) preserve_fds: u32,
    /// Accepted: the root file system of the host is not in the guest
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Accepted: keyrings of the host are not in the guest
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
}

/// Refuses what cannot be done for descriptors.
pub(super) fn no_descriptors(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(0) => Ok(0),
        Ok(_) => {
            let why = "descriptors do not cross into a virtual machine: pass data as a file, a \
                       volume or an environment variable";
            Err(why.to_owned())
        }
        Err(_) => Err("write a number".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc create --bundle /srv/bundle web
  vc create --bundle /srv/bundle --pid-file /run/web.pid --console-socket /run/web.sock web

Annotations of Kubernetes decide whether the container gets a virtual machine of its own, or joins
one that another container of its pod was made with.")]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) creation: Creation,
    /// Id of the container
    pub(crate) id: ContainerId,
}

/// The machine that a container gets.
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
  vc run --rootfs /srv/busybox --netns /run/netns/web web -- httpd -f
  vc run --bundle /srv/bundle --detach web

The exit status is the command's; 127 when it does not exist, 126 when it cannot be executed,
128 + N when signal N ended it, 255 when the virtual machine was lost, 1 for failures of vc.")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) creation: Creation,
    /// Root file system to run a command in, without a bundle
    #[arg(long, value_name = "DIR", conflicts_with = "bundle")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Return when the container runs, and leave it running
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Do not remove the container when it has ended
    #[arg(long)]
    pub(crate) keep: bool,
    /// Accepted: processes that lose their parent stay in the guest
    #[arg(long)]
    pub(crate) no_subreaper: bool,
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
    /// Network namespace whose interfaces the container gets, such as /run/netns/NAME; it has none
    /// without
    #[arg(long, value_name = "FILE", requires = "rootfs")]
    pub(crate) netns: Option<PathBuf>,
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
