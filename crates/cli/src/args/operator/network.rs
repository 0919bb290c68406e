//! The commands about networks.

pub(crate) mod route;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use virtcontainers::network::Model;
use virtcontainers::types::{ContainerId, IpAddress};

use crate::args::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc network plan --netns /run/netns/web
  vc network list web
  vc network add web eth1
  vc network remove web eth1
  vc network set-route web default via 10.0.0.1 dev eth0")]
pub(crate) struct NetworkGroup {
    #[command(subcommand)]
    pub(crate) command: NetworkCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Tell what a machine would get of a network namespace; nothing is changed
    Plan(NetworkPlan),
    /// List the interfaces of the guest, and what of the namespace it has not
    List(NetworkShown),
    /// Give the guest one more interface of its namespace
    Add(NetworkAdd),
    /// Take an interface from the guest
    Remove(NetworkRemove),
    /// List the routes of the guest
    Routes(NetworkShown),
    /// Give the guest a route, in the place of one to the same destination
    SetRoute(NetworkSetRoute),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc network plan --netns /run/netns/web
  vc network plan --netns /run/netns/web --model bridged --format json

Queues, rates and switches are those of the configuration.")]
pub(crate) struct NetworkPlan {
    /// The network namespace
    #[arg(long, value_name = "FILE")]
    pub(crate) netns: PathBuf,
    /// How frames get to the machine [default: as the configuration has it]
    #[arg(long, value_enum)]
    pub(crate) model: Option<ModelName>,
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

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc network add web eth1
  vc network add --name data --address 10.2.0.7/24 --address fd00::7/64 --mtu 1400 web veth7

The link is in the sandbox's network namespace already. The guest has its addresses, routes and static
neighbours, and what is given here in the place of what the link has.")]
pub(crate) struct NetworkAdd {
    /// Its name in the guest [default: the link's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// An address in the guest, with its prefix; may be repeated [default: the link's]
    #[arg(long = "address", value_name = "ADDRESS/PREFIX")]
    pub(crate) addresses: Vec<IpAddress>,
    /// The largest packet, in bytes [default: the link's, which is the most]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) mtu: Option<u32>,
    /// How to print what the guest has
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Id of a container in the sandbox
    pub(crate) id: ContainerId,
    /// The link's name in the sandbox's network namespace
    pub(crate) link: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc network remove web eth1
  vc network remove web 02:00:5e:10:00:01

The link stays in the namespace, as it was before the guest had it.")]
pub(crate) struct NetworkRemove {
    /// Id of a container in the sandbox
    pub(crate) id: ContainerId,
    /// Its name in the guest, or else in the namespace, or its hardware address
    #[arg(value_name = "NAME|MAC")]
    pub(crate) interface: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vc network set-route web default via 10.0.0.1 dev eth0
  vc network set-route web 10.1.0.0/16 via 10.0.0.2 dev eth0 src 10.0.0.7 mtu 1400
  vc network set-route web fd00:1::/64 via fe80::1 dev eth0 onlink

Prints the routes that the guest has then.")]
pub(crate) struct NetworkSetRoute {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Id of a container in the sandbox
    pub(crate) id: ContainerId,
    /// The route in the words of ip-route(8): a destination, then `via`, `dev`, `src`, `mtu`, `onlink`
    #[arg(required = true, value_name = "ROUTE")]
    pub(crate) route: Vec<String>,
}
