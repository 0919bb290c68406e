//! What there is in a network namespace, as data: what a [`plan`](crate::plan) is made from.
//!
//! A view is taken by [`scan`](crate::scan), or read from JSON. Numbers are those of rtnetlink(7).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{IpAddress, IpFamily, MacAddress};

use crate::NamespaceId;

mod pci;

pub use pci::{GroupMember, PciDevice};

/// All of a network namespace that a guest could be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Which namespace it is.
    pub namespace: NamespaceId,
    /// The links.
    pub links: Vec<Link>,
    /// The addresses on them.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// The routes of all tables.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// The rules by which a table is chosen.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// The neighbours, those that were learned too.
    #[serde(default)]
    pub neighbors: Vec<Neighbor>,
    /// The queueing disciplines.
    #[serde(default)]
    pub qdiscs: Vec<Qdisc>,
}

impl View {
    /// The link with this index.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// What there is without some links, by their indexes, and all that is on them.
    #[must_use]
    pub fn without(mut self, links: &[u32]) -> Self {
        let stays = |link: u32| !links.contains(&link);
        self.links.retain(|link| stays(link.index));
        self.addresses.retain(|address| stays(address.link));
        self.routes.retain(|route| route.link.is_none_or(stays));
        self.neighbors.retain(|neighbor| stays(neighbor.link));
        self.qdiscs.retain(|qdisc| stays(qdisc.link));
        self
    }
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Its number in this namespace, from 1.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What made it, in the kernel's words: `veth`, `macvlan`, …; empty for hardware.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its hardware address, when it has one of Ethernet's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// How many packets may wait to go out; of a link that plugins made often none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_queue: Option<u32>,
    /// `IFF_UP`.
    pub up: bool,
    /// `IFF_LOOPBACK`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub loopback: bool,
    /// `IFF_NOARP`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_arp: bool,
    /// The index of the bridge or bond that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<u32>,
    /// The device that it is the network side of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// For the kind `tun`: whether it carries Ethernet frames (`tap`) or packets (`tun`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tun: Option<TunMode>,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The bus: `pci`, `virtio`, …
    pub bus: String,
    /// Its name there: for PCI its address, such as `0000:3b:02.1`.
    pub name: String,
    /// Of a PCI device, how it stands with drivers and machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<PciDevice>,
}

/// What a link of kind `tun` carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunMode {
    /// Ethernet frames.
    Tap,
    /// Packets of the internet protocol.
    Tun,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The link's index.
    pub link: u32,
    /// The address and the length of its network's prefix.
    pub address: IpAddress,
    /// The other end of a point-to-point address; the prefix is then the peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// `ifa_scope`: 0 everywhere, 253 on the link, 254 in the host.
    #[serde(default)]
    pub scope: u8,
    /// `IFA_F_NOPREFIXROUTE`: there is no route to its network because of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_prefix_route: bool,
    /// It ends some time by itself (`IFA_F_PERMANENT` is not set).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporary: bool,
    /// `IFA_F_DEPRECATED`: it is not for new connections.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deprecated: bool,
    /// Its label, where that is not the link's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The family.
    pub family: IpFamily,
    /// The index of the link that it leads through; absent where there is not exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<u32>,
    /// The table: 254 is the main one.
    pub table: u32,
    /// `rtm_type`: 1 is an ordinary route.
    pub kind: u8,
    /// `rtm_protocol`, who made it: 2 is the kernel.
    pub protocol: u8,
    /// `rtm_scope`.
    #[serde(default)]
    pub scope: u8,
    /// Where it leads; absent for the default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<IpAddress>,
    /// The next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The address that packets leave with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Among routes to one destination the one with the least is taken.
    #[serde(default)]
    pub metric: u32,
    /// The largest packet on it, in bytes; the link's when zero.
    #[serde(default)]
    pub mtu: u32,
    /// `rtm_flags`.
    #[serde(default)]
    pub flags: u32,
    /// Parts without which it would be another route and that a guest cannot be told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub essential: Vec<String>,
    /// Parts that tune it and that a guest cannot be told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tuning: Vec<String>,
}

/// A rule by which a routing table is chosen (ip-rule(8)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The family.
    pub family: IpFamily,
    /// Rules are tried from the least up.
    #[serde(default)]
    pub priority: u32,
    /// The table that it leads to.
    #[serde(default)]
    pub table: u32,
    /// It only leads to its table, for every packet.
    #[serde(default)]
    pub unconditional: bool,
}

/// A neighbour of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// The link's index.
    pub link: u32,
    /// Its internet address.
    pub address: IpAddr,
    /// Its hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// `ndm_state`: 0x80 is permanent.
    pub state: u16,
    /// `ndm_flags`; with 0x08 this kernel answers for it.
    #[serde(default)]
    pub flags: u8,
}

/// A queueing discipline (tc(8)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qdisc {
    /// The link's index.
    pub link: u32,
    /// Its kind: `noqueue`, `ingress`, `tbf`, …
    pub kind: String,
    /// Its handle; zero for what the kernel gives to every link.
    #[serde(default)]
    pub handle: u32,
    /// What it hangs from: 0xffffffff is the way out, 0xfffffff1 the way in.
    pub parent: u32,
}
