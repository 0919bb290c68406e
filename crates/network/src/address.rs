//! Addresses by rtnetlink(7).

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::Netlink;
use crate::view::Address;

/// Gives an address to the link `index`. Error: `EEXIST`.
pub(crate) fn add(netlink: &Netlink, index: u32, one: &Address) -> io::Result<()> {
    let own = one.address.address();
    let mut message = AddressMessage::default();
    message.header.family = match own {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = one.address.prefix();
    message.header.scope = AddressScope::from(one.scope);
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(own),
        AddressAttribute::Address(one.peer.unwrap_or(own)),
    ];
    if let Some(label) = &one.label {
        message
            .attributes
            .push(AddressAttribute::Label(label.clone()));
    }
    if one.no_prefix_route {
        let flags = AddressFlags::Permanent | AddressFlags::Noprefixroute;
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    netlink.change(RouteNetlinkMessage::NewAddress(message), flags)
}
