//! The guest's network as callers see and change it: interfaces, routes, neighbours.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{IpAddress, IpFamily, MacAddress, PciPath};

/// How frames get from an interface of the sandbox's namespace to its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkModel {
    /// A tap, and traffic filters that redirect every frame between it and the interface.
    #[default]
    TcFilter,
    /// A macvtap on the interface, in passthru mode.
    MacVtap,
    /// A tap and the interface as the two ports of a bridge.
    Bridged,
    /// No connection.
    None,
}

/// How many bytes a second an interface carries; unlimited where absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimit {
    /// To the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound: Option<u64>,
    /// From the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound: Option<u64>,
}

/// A network interface of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The link on the host that it leads to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// Its name in the guest.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddress>,
    /// The largest packet, in bytes; the link's own when zero.
    #[serde(default)]
    pub mtu: u32,
    /// Bits of `IFF_*` (netdevice(7)) beyond the usual ones.
    #[serde(default)]
    pub raw_flags: u32,
    /// The address by which the guest finds it.
    pub hardware_address: MacAddress,
    /// Where it sits in the guest, for one that was attached to a running machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci_path: Option<PciPath>,
    /// What kind of link it leads to on the host: `veth`, `macvlan`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub link_type: String,
}

/// How a machine is connected to its network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// The interfaces that the machine has.
    pub interfaces: Vec<ConnectedInterface>,
    /// The interfaces of the namespace that it has not.
    pub skipped: Vec<SkippedInterface>,
    /// What the guest does not have as the namespace has it, one sentence each.
    pub notes: Vec<String>,
}

/// An interface of the namespace that the machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectedInterface {
    /// Its name in the namespace.
    pub link: String,
    /// What it is there: `veth`, `macvlan`, …
    pub kind: String,
    /// What carries its frames to the machine: `tap`, `macvtap`, `vfio` or `vhost-user`.
    pub carrier: String,
    /// The name of its device in the machine.
    pub device: String,
    /// What the guest was told.
    pub interface: Interface,
}

/// An interface of the namespace that the machine does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedInterface {
    /// Its name in the namespace.
    pub link: String,
    /// Why.
    pub reason: String,
}

/// A route of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The family, which a default route does not tell by its destination.
    pub family: IpFamily,
    /// Where it leads; absent for the default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<IpAddress>,
    /// The next hop; absent for a network on the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The interface's name in the guest.
    pub device: String,
    /// The address that packets leave with, when it is not the interface's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// How far away it is: `rtm_scope` of rtnetlink(7), zero for everywhere.
    #[serde(default)]
    pub scope: u8,
    /// `rtm_flags` of rtnetlink(7), such as 4 for a gateway that is on the link.
    #[serde(default)]
    pub flags: u32,
    /// The largest packet on it, in bytes; the interface's when zero.
    #[serde(default)]
    pub mtu: u32,
}

/// A neighbour that the guest is told of instead of asking for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its internet address.
    pub address: IpAddr,
    /// The interface's name in the guest.
    pub device: String,
    /// Its hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_address: Option<MacAddress>,
    /// `ndm_state` of rtnetlink(7), such as 0x80 for permanent.
    pub state: u16,
    /// `ndm_flags` of rtnetlink(7).
    #[serde(default)]
    pub flags: u8,
}
