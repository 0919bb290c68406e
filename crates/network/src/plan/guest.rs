//! What the guest is told of addresses, routes and neighbours, and what it cannot be told.

use std::net::IpAddr;

use virtcontainers_types::{Interface, IpAddress, IpFamily, Neighbor, Route};

use super::routes::routes;
use super::{Endpoint, Guest};
use crate::{Config, Error, View, view};

/// `IFF_NOARP` (netdevice(7)).
const NO_ARP: u32 = 0x80;
/// `RT_TABLE_LOCAL`, `RT_TABLE_MAIN`, `RT_TABLE_DEFAULT`, `RT_SCOPE_LINK` (linux/rtnetlink.h).
const LOCAL: u32 = 255;
const MAIN: u32 = 254;
const DEFAULT: u32 = 253;
const SCOPE_LINK: u8 = 253;
/// `NUD_PERMANENT` (linux/neighbour.h).
const PERMANENT: u16 = 0x80;

/// What the guest is told about these endpoints.
pub(super) fn guest(
    view: &View,
    config: &Config,
    endpoints: &[Endpoint],
    notes: &mut Vec<String>,
) -> Result<Guest, Error> {
    let mut guest = Guest::default();
    for endpoint in endpoints {
        interface(view, endpoint, &mut guest, notes);
    }
    guest.routes.extend(routes(view, config, endpoints, notes)?);
    guest.routes.sort_by_key(|route| route.gateway.is_some());
    // Rules are of the whole namespace: noted with its first plan, not with each later interface.
    if config.only.is_none() && !endpoints.is_empty() {
        rules(view, notes);
    }
    neighbors(view, endpoints, &mut guest, notes);
    Ok(guest)
}

fn interface(view: &View, endpoint: &Endpoint, guest: &mut Guest, notes: &mut Vec<String>) {
    let name = &endpoint.name;
    let mut addresses = Vec::new();
    for address in view
        .addresses
        .iter()
        .filter(|one| one.link == endpoint.index)
    {
        let told = match address.peer {
            None => address.address,
            Some(peer) => point_to_point(address, peer, name, guest),
        };
        addresses.push(told);
        if let Some(label) = &address.label {
            let address = address.address;
            notes.push(format!(
                "the label {label} of the address {address} is not in the guest"
            ));
        }
        if address.no_prefix_route {
            let address = address.address;
            notes.push(format!(
                "the guest has a route to the network of {address} on {name}, which the namespace \
                 has not"
            ));
        }
    }
    let link = view.link(endpoint.index);
    guest.interfaces.push(Interface {
        device: name.clone(),
        name: name.clone(),
        addresses,
        mtu: endpoint.mtu,
        raw_flags: if link.is_some_and(|link| link.no_arp) {
            NO_ARP
        } else {
            0
        },
        hardware_address: endpoint.mac,
        pci_path: None,
        link_type: endpoint.kind.to_string(),
    });
}

/// A guest knows no peers: it gets the address alone, and a route to the other end.
fn point_to_point(
    address: &view::Address,
    peer: IpAddr,
    device: &str,
    guest: &mut Guest,
) -> IpAddress {
    let own = address.address.address();
    guest.routes.push(Route {
        family: own.into(),
        destination: IpAddress::new(peer, address.address.prefix()).ok(),
        gateway: None,
        device: device.to_owned(),
        source: Some(own),
        scope: if own.is_ipv4() { SCOPE_LINK } else { 0 },
        flags: 0,
        mtu: 0,
    });
    let bits = if own.is_ipv4() { 32 } else { 128 };
    IpAddress::new(own, bits).unwrap_or(address.address)
}

fn rules(view: &View, notes: &mut Vec<String>) {
    let usual = [(0, LOCAL), (32766, MAIN), (32767, DEFAULT)];
    for rule in &view.rules {
        if rule.unconditional && usual.contains(&(rule.priority, rule.table)) {
            continue;
        }
        let family = match rule.family {
            IpFamily::V4 => "IPv4",
            IpFamily::V6 => "IPv6",
        };
        notes.push(format!(
            "the {family} rule {} for the table {} is not in the guest, which has no rules",
            rule.priority, rule.table
        ));
    }
}

fn neighbors(view: &View, endpoints: &[Endpoint], guest: &mut Guest, notes: &mut Vec<String>) {
    for neighbor in &view.neighbors {
        let endpoint = endpoints.iter().find(|one| one.index == neighbor.link);
        let Some(endpoint) = endpoint.filter(|_| neighbor.state & PERMANENT != 0) else {
            continue;
        };
        if neighbor.mac.is_none() {
            notes.push(format!(
                "the neighbour {} on {} is not in the guest: it has no hardware address",
                neighbor.address, endpoint.name
            ));
            continue;
        }
        guest.neighbors.push(Neighbor {
            address: neighbor.address,
            device: endpoint.name.clone(),
            hardware_address: neighbor.mac,
            state: neighbor.state,
            flags: neighbor.flags,
        });
    }
}
