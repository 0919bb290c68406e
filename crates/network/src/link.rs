//! Links by rtnetlink(7): finding, making, changing and removing them.

use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoData, InfoKind, InfoMacVtap,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVtapMode,
};
use netlink_packet_route::neighbour::NeighbourState;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use virtcontainers_types::MacAddress;

use crate::effect::{LinkRef, StaticNeighbor};
use crate::netlink::Netlink;
use crate::view::Link;

/// The link that is meant, if it is there.
pub(crate) fn find<'a>(all: &'a [Link], wanted: &LinkRef) -> Option<&'a Link> {
    all.iter().find(|link| match wanted.index {
        Some(index) => link.index == index,
        None => link.name == wanted.name,
    })
}

/// The index of the link that is meant. Error: `ENODEV`, for one that was there when it is used.
pub(crate) fn index(netlink: &Netlink, wanted: &LinkRef) -> io::Result<u32> {
    if let Some(index) = wanted.index {
        return Ok(index);
    }
    // By its name alone: a list of all links takes many times as long.
    let request = message(0, vec![LinkAttribute::IfName(wanted.name.clone())]);
    let answers = netlink.get(RouteNetlinkMessage::GetLink(request))?;
    let index = answers.iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
        _ => None,
    });
    index.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

fn message(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

/// Changes a link.
pub(crate) fn set(netlink: &Netlink, message: LinkMessage) -> io::Result<()> {
    netlink.change(RouteNetlinkMessage::SetLink(message), 0)
}

/// Takes a link up or down.
pub(crate) fn set_up(netlink: &Netlink, index: u32, up: bool) -> io::Result<()> {
    let mut message = message(index, Vec::new());
    message.header.change_mask = LinkFlags::Up;
    if up {
        message.header.flags = LinkFlags::Up;
    }
    set(netlink, message)
}

/// Sets the largest packet, in bytes.
pub(crate) fn set_mtu(netlink: &Netlink, index: u32, mtu: u32) -> io::Result<()> {
    set(netlink, message(index, vec![LinkAttribute::Mtu(mtu)]))
}

/// `DEFAULT_TX_QUEUE_LEN` (net/pkt_sched.h), in packets.
pub(crate) const USUAL_QUEUE: u32 = 1000;

/// Sets how many packets may wait to go out.
pub(crate) fn set_queue(netlink: &Netlink, index: u32, packets: u32) -> io::Result<()> {
    set(
        netlink,
        message(index, vec![LinkAttribute::TxQueueLen(packets)]),
    )
}

/// Sets the hardware address.
pub(crate) fn set_mac(netlink: &Netlink, index: u32, mac: MacAddress) -> io::Result<()> {
    let address = LinkAttribute::Address(mac.0.to_vec());
    set(netlink, message(index, vec![address]))
}

/// Makes a link a port of a bridge; of none, when that is zero.
pub(crate) fn set_bridge(netlink: &Netlink, index: u32, bridge: u32) -> io::Result<()> {
    let bridge = LinkAttribute::Controller(bridge);
    set(netlink, message(index, vec![bridge]))
}

/// Keeps the kernel from giving the link an address of its own, with which it would speak to the
/// guest.
pub(crate) fn keep_silent(netlink: &Netlink, index: u32) -> io::Result<()> {
    let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let inet6 = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![none])]);
    match set(netlink, message(index, vec![inet6])) {
        // There is no IPv6.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL)
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

fn add(netlink: &Netlink, message: LinkMessage) -> io::Result<()> {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    netlink.change(RouteNetlinkMessage::NewLink(message), flags)
}

/// Makes a bridge. It does not answer for the addresses of its namespace (`IFF_NOARP`), and passes
/// on packets to all groups, since it does not see which the guest is in.
pub(crate) fn add_bridge(netlink: &Netlink, name: &str, mtu: u32) -> io::Result<()> {
    let quiet = InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)]);
    let mut message = message(
        0,
        vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Bridge),
                LinkInfo::Data(quiet),
            ]),
        ],
    );
    message.header.flags = LinkFlags::Noarp;
    message.header.change_mask = LinkFlags::Noarp;
    add(netlink, message)
}

/// Makes a macvtap in passthru mode: it takes over all that comes in for its link, with the link's
/// own hardware address.
pub(crate) fn add_macvtap(netlink: &Netlink, name: &str, on: u32) -> io::Result<()> {
    let mode = InfoData::MacVtap(vec![InfoMacVtap::Mode(MacVtapMode::Passthrough)]);
    let attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Link(on),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVtap),
            LinkInfo::Data(mode),
        ]),
    ];
    add(netlink, message(0, attributes))
}

/// Removes a link; true when it was there.
pub(crate) fn remove(netlink: &Netlink, index: u32) -> io::Result<bool> {
    let request = RouteNetlinkMessage::DelLink(message(index, Vec::new()));
    match netlink.change(request, 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
        result => result.map(|()| true),
    }
}

/// Tells the kernel of a neighbour that stays.
pub(crate) fn add_neighbor(netlink: &Netlink, index: u32, one: &StaticNeighbor) -> io::Result<()> {
    let mut message = NeighbourMessage::default();
    message.header.family = match one.address {
        std::net::IpAddr::V4(_) => AddressFamily::Inet,
        std::net::IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::from_bits_retain(one.flags);
    message.attributes = vec![
        NeighbourAttribute::Destination(one.address.into()),
        NeighbourAttribute::LinkLayerAddress(one.mac.0.to_vec()),
    ];
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    netlink.change(RouteNetlinkMessage::NewNeighbour(message), flags)
}
