//! Routes by rtnetlink(7).

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use virtcontainers_types::IpFamily;

use crate::netlink::Netlink;
use crate::view::Route;

/// `RTNH_F_ONLINK` (linux/rtnetlink.h); the other flags are the kernel's to set.
const ON_LINK: u32 = 4;

/// Makes a route through the link `index`, of those parts that a view has in full. Error: `EEXIST`.
pub(crate) fn add(netlink: &Netlink, index: u32, one: &Route) -> io::Result<()> {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = match one.family {
        IpFamily::V4 => AddressFamily::Inet,
        IpFamily::V6 => AddressFamily::Inet6,
    };
    header.table = u8::try_from(one.table).unwrap_or_default();
    header.protocol = one.protocol.into();
    header.scope = one.scope.into();
    header.kind = one.kind.into();
    header.flags = RouteFlags::from_bits_retain(one.flags & ON_LINK);
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Oif(index));
    attributes.push(RouteAttribute::Table(one.table));
    if let Some(destination) = one.destination {
        header.destination_prefix_length = destination.prefix();
        attributes.push(RouteAttribute::Destination(wire(destination.address())));
    }
    attributes.extend(
        one.gateway
            .map(|gateway| RouteAttribute::Gateway(wire(gateway))),
    );
    attributes.extend(
        one.source
            .map(|source| RouteAttribute::PrefSource(wire(source))),
    );
    if one.metric != 0 {
        attributes.push(RouteAttribute::Priority(one.metric));
    }
    if one.mtu != 0 {
        attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(one.mtu)]));
    }
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    netlink.change(RouteNetlinkMessage::NewRoute(message), flags)
}

fn wire(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}
