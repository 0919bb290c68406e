//! Whether a guest reaches a gateway whose interface it has with other addresses.

use std::net::IpAddr;

use virtcontainers_types::IpAddress;

use crate::view::Link;
use crate::{Config, View, view};

/// `RT_TABLE_MAIN`, `RTPROT_KERNEL`, `RTNH_F_ONLINK` (linux/rtnetlink.h).
const MAIN: u32 = 254;
const BY_KERNEL: u8 = 2;
const ON_LINK: u32 = 4;

/// Why the guest's kernel would refuse the route. With the addresses that the interface itself has
/// it takes what this kernel took.
pub(super) fn out_of_reach(
    view: &View,
    config: &Config,
    link: &Link,
    route: &view::Route,
) -> Option<String> {
    let given = config.addresses_of(&link.name);
    let gateway = route.gateway?;
    if given.is_empty() || route.flags & ON_LINK != 0 || is_on_link(gateway) {
        return None;
    }
    let by_route = view.routes.iter().filter(|other| {
        other.link == Some(link.index)
            && other.table == MAIN
            && other.protocol != BY_KERNEL
            && other.gateway.is_none()
    });
    let networks = by_route.filter_map(|route| route.destination);
    let mut networks = given.iter().copied().chain(networks);
    match networks.any(|network| contains(network, gateway)) {
        true => None,
        false => Some("its gateway is in no network of the addresses that were given".to_owned()),
    }
}

/// Whether the address is good on its link only (RFC 4291, 2.4).
fn is_on_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[0] & 0xffc0 == 0xfe80)
}

fn contains(network: IpAddress, address: IpAddr) -> bool {
    let differ = match (network.address(), address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differ >= u32::from(network.prefix())
}
