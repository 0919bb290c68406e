//! Looking at a network namespace.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoTun, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::tc::{TcAttribute, TcMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use virtcontainers_types::{IpAddress, MacAddress};

use crate::netlink::Netlink;
use crate::sysfs::Sysfs;
use crate::thread::inside;
use crate::view::{Address, Device, Link, Neighbor, Qdisc, TunMode, View};
use crate::{Error, Namespace};

mod routes;

/// Looks at everything in a namespace that a guest could be given. Blocks for some milliseconds.
///
/// Errors: `Denied`; `Internal` when the kernel does not tell.
pub fn scan(namespace: &Namespace) -> Result<View, Error> {
    let id = namespace.id()?;
    inside(namespace, || {
        let failed = |source| Error::system("look at the interfaces of", namespace.path(), source);
        let netlink = Netlink::open().map_err(failed)?;
        let mut links = links(&netlink).map_err(failed)?;
        links.iter_mut().for_each(look_at_device);
        let mut addresses = addresses(&netlink).map_err(failed)?;
        for address in &mut addresses {
            let name = links.iter().find(|link| link.index == address.link);
            let name = name.map(|link| &link.name);
            address.label.take_if(|label| Some(&*label) == name);
        }
        Ok(View {
            namespace: id,
            addresses,
            routes: routes::routes(&netlink).map_err(failed)?,
            rules: routes::rules(&netlink).map_err(failed)?,
            neighbors: neighbors(&netlink).map_err(failed)?,
            qdiscs: qdiscs(&netlink).map_err(failed)?,
            links,
        })
    })
}

/// The links of the calling thread's namespace.
pub(crate) fn links(netlink: &Netlink) -> io::Result<Vec<Link>> {
    let answers = netlink.list(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let links = answers.iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(message) => Some(link(message)),
        _ => None,
    });
    Ok(links.collect())
}

fn link(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        loopback: flags.contains(LinkFlags::Loopback),
        no_arp: flags.contains(LinkFlags::Noarp),
        ..Link::default()
    };
    let (mut bus, mut device) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(address) => link.mac = mac(address),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::TxQueueLen(packets) => link.tx_queue = Some(*packets),
            LinkAttribute::Controller(index) => link.master = Some(*index).filter(|one| *one > 0),
            LinkAttribute::ParentDevBusName(name) => bus = Some(name.clone()),
            LinkAttribute::ParentDevName(name) => device = Some(name.clone()),
            LinkAttribute::LinkInfo(infos) => info(infos, &mut link),
            _ => {}
        }
    }
    link.device = bus.zip(device).map(|(bus, name)| Device {
        bus,
        name,
        pci: None,
    });
    link
}

/// Adds what sysfs tells of the device. What it does not tell is missed by whoever needs it.
fn look_at_device(link: &mut Link) {
    if let Some(device) = link.device.as_mut().filter(|one| one.bus == "pci") {
        device.pci = Sysfs::host().look(&device.name).ok();
    }
}

fn info(infos: &[LinkInfo], link: &mut Link) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => link.kind = kind.to_string(),
            LinkInfo::Data(InfoData::Tun(details)) => {
                link.tun = details.iter().find_map(tun_mode);
            }
            _ => {}
        }
    }
}

/// `IFLA_TUN_TYPE` (linux/if_link.h), which is `IFF_TUN` or `IFF_TAP`.
fn tun_mode(detail: &InfoTun) -> Option<TunMode> {
    const TYPE: u16 = 3;
    let InfoTun::Other(detail) = detail else {
        return None;
    };
    match (detail.kind(), bytes(detail).as_slice()) {
        (TYPE, [1]) => Some(TunMode::Tun),
        (TYPE, [2]) => Some(TunMode::Tap),
        _ => None,
    }
}

fn bytes(attribute: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; attribute.value_len()];
    attribute.emit_value(&mut bytes);
    bytes
}

fn mac(address: &[u8]) -> Option<MacAddress> {
    address.try_into().ok().map(MacAddress)
}

fn addresses(netlink: &Netlink) -> io::Result<Vec<Address>> {
    let answers = netlink.list(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let addresses = answers.iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewAddress(message) => address(message),
        _ => None,
    });
    Ok(addresses.collect())
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut plain, mut local, mut label) = (None, None, None);
    let mut flags = AddressFlags::empty();
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => plain = Some(*address),
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Label(name) => label = Some(name.clone()),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    // Of a pair of ends `IFA_LOCAL` is ours; otherwise both are the same, or there is one.
    let own = local.or(plain)?;
    Some(Address {
        link: message.header.index,
        address: IpAddress::new(own, message.header.prefix_len).ok()?,
        peer: plain.filter(|peer| *peer != own),
        scope: u8::from(message.header.scope),
        no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
        temporary: !flags.contains(AddressFlags::Permanent),
        deprecated: flags.contains(AddressFlags::Deprecated),
        label,
    })
}

/// The neighbours of the calling thread's namespace.
pub(crate) fn neighbors(netlink: &Netlink) -> io::Result<Vec<Neighbor>> {
    let mut neighbors = Vec::new();
    // Those for which this kernel answers are listed apart.
    for flags in [NeighbourFlags::empty(), NeighbourFlags::Proxy] {
        let mut request = NeighbourMessage::default();
        request.header.flags = flags;
        let answers = netlink.list(&RouteNetlinkMessage::GetNeighbour(request))?;
        neighbors.extend(answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewNeighbour(message) => neighbor(message),
            _ => None,
        }));
    }
    Ok(neighbors)
}

fn neighbor(message: &NeighbourMessage) -> Option<Neighbor> {
    let (mut address, mut hardware) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(one)) => {
                address = Some(IpAddr::V4(*one));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(one)) => {
                address = Some(IpAddr::V6(*one));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => hardware = mac(bytes),
            _ => {}
        }
    }
    Some(Neighbor {
        link: message.header.ifindex,
        address: address?,
        mac: hardware,
        state: message.header.state.into(),
        flags: message.header.flags.bits(),
    })
}

/// The queueing disciplines of the calling thread's namespace.
pub(crate) fn qdiscs(netlink: &Netlink) -> io::Result<Vec<Qdisc>> {
    let answers = netlink.list(&RouteNetlinkMessage::GetQueueDiscipline(
        TcMessage::default(),
    ))?;
    let qdiscs = answers.iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewQueueDiscipline(message) => Some(qdisc(message)),
        _ => None,
    });
    Ok(qdiscs.collect())
}

fn qdisc(message: &TcMessage) -> Qdisc {
    let kind = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind.clone()),
            _ => None,
        });
    Qdisc {
        link: u32::try_from(message.header.index).unwrap_or_default(),
        kind: kind.unwrap_or_default(),
        handle: message.header.handle.into(),
        parent: message.header.parent.into(),
    }
}

/// Both families, which the kernel lists apart.
const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];
