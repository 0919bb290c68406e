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
/// `NTF_PROXY` (linux/neighbour.h).
const PROXY: u8 = 0x08;

/// What the guest is told about these endpoints.
pub(super) fn guest(
    view: &View,
    config: &Config,
    endpoints: &[Endpoint],
    notes: &mut Vec<String>,
) -> Result<Guest, Error> {
    let mut guest = Guest::default();
    for endpoint in endpoints {
        interface(view, config, endpoint, &mut guest, notes);
    }
    let links: Vec<_> = endpoints
        .iter()
        .filter_map(|endpoint| view.link(endpoint.index))
        .collect();
    guest.routes.extend(routes(view, config, &links, notes)?);
    guest.routes.sort_by_key(|route| route.gateway.is_some());
    // Rules are of the whole namespace: noted with its first plan, not with each later interface.
    if config.only.is_none() && !endpoints.is_empty() {
        rules(view, notes);
    }
    neighbors(view, config, endpoints, &mut guest, notes);
    Ok(guest)
}

fn interface(
    view: &View,
    config: &Config,
    endpoint: &Endpoint,
    guest: &mut Guest,
    notes: &mut Vec<String>,
) {
    let name = config.guest_name(&endpoint.name);
    let mut addresses = config.addresses_of(&endpoint.name).to_vec();
    if addresses.is_empty() {
        let all = view.addresses.iter();
        for address in all.filter(|one| one.link == endpoint.index) {
            addresses.push(match address.peer {
                None => address.address,
                Some(peer) => point_to_point(address, peer, name, guest),
            });
            differences(address, name, notes);
        }
    }
    let link = view.link(endpoint.index);
    let over = config.overrides.get(&endpoint.name);
    guest.interfaces.push(Interface {
        device: endpoint.name.clone(),
        name: name.to_owned(),
        addresses,
        mtu: over.and_then(|over| over.mtu).unwrap_or(endpoint.mtu),
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

/// Notes what of an address a guest cannot be told.
fn differences(one: &view::Address, name: &str, notes: &mut Vec<String>) {
    let address = one.address;
    if let Some(label) = &one.label {
        notes.push(format!(
            "the label {label} of the address {address} is not in the guest"
        ));
    }
    if one.no_prefix_route {
        notes.push(format!(
            "the guest has a route to the network of {address} on {name}, which the namespace \
             has not"
        ));
    }
    if one.temporary {
        notes.push(format!(
            "the address {address} on {name} ends some time in the namespace, and stays in the \
             guest"
        ));
    }
    if one.deprecated {
        notes.push(format!(
            "the address {address} on {name} is not for new connections in the namespace, and is \
             in the guest"
        ));
    }
    // The guest's kernel finds the scope of an IPv6 address by itself, as this one did.
    if address.address().is_ipv4() && one.scope != 0 {
        notes.push(format!(
            "the scope {} of the address {address} on {name} is not in the guest",
            one.scope
        ));
    }
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

fn neighbors(
    view: &View,
    config: &Config,
    endpoints: &[Endpoint],
    guest: &mut Guest,
    notes: &mut Vec<String>,
) {
    for neighbor in &view.neighbors {
        let Some(endpoint) = endpoints.iter().find(|one| one.index == neighbor.link) else {
            continue;
        };
        let device = config.guest_name(&endpoint.name);
        let address = neighbor.address;
        if neighbor.flags & PROXY != 0 {
            notes.push(format!(
                "the guest does not answer for the neighbour {address} on {device}"
            ));
        } else if neighbor.state & PERMANENT != 0 && neighbor.mac.is_none() {
            notes.push(format!(
                "the neighbour {address} on {device} is not in the guest: it has no hardware address"
            ));
        } else if neighbor.state & PERMANENT != 0 {
            guest.neighbors.push(Neighbor {
                address,
                device: device.to_owned(),
                hardware_address: neighbor.mac,
                state: neighbor.state,
                flags: neighbor.flags,
            });
        }
    }
}
