//! The commands about networks.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use virtcontainers::network::Model;
use virtcontainers::types::ContainerId;

use crate::args::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc network plan --netns /run/netns/web
  vc network list web
  vc network routes --format json web")]
pub(crate) struct NetworkGroup {
    #[command(subcommand)]
    pub(crate) command: NetworkCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Tell what a machine would get of a network namespace; nothing is changed
    Plan(NetworkPlan),
    /// List the interfaces of the guest
    List(NetworkShown),
    /// List the routes of the guest
    Routes(NetworkShown),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc network plan --netns /run/netns/web
  vc network plan --netns /run/netns/web --model bridged --format json")]
pub(crate) struct NetworkPlan {
    /// The network namespace
    #[arg(long, value_name = "FILE")]
    pub(crate) netns: PathBuf,
    /// How frames get to the machine
    #[arg(long, value_enum, default_value_t = ModelName::Tcfilter)]
    pub(crate) model: ModelName,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// As `docs/network.md` names them.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModelName {
    Tcfilter,
    Macvtap,
    Bridged,
    None,
}

impl From<ModelName> for Model {
    fn from(name: ModelName) -> Self {
        match name {
            ModelName::Tcfilter => Self::TcFilter,
            ModelName::Macvtap => Self::MacVtap,
            ModelName::Bridged => Self::Bridged,
            ModelName::None => Self::None,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vc network list --format json web")]
pub(crate) struct NetworkShown {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Id of a container in the sandbox
    pub(crate) id: ContainerId,
}
