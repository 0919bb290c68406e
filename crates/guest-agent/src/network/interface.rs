//! `UpdateInterface` and `ListInterfaces`.

use std::net::IpAddr;
use std::path::Path;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use virtcontainers_agent_proto::agent::{Interfaces, UpdateInterfaceRequest};
use virtcontainers_agent_proto::types::{IPAddress, IPFamily, Interface};

use super::netlink::{Link, Netlink, failed, not_found};
use super::parse::{self, Prefix};
use crate::agent::Agent;
use crate::device::{self, PciPath};
use crate::modules::NET;
use crate::status::{Failure, Result};

/// The flag of `raw_flags` that has a meaning here.
const NO_ARP: u32 = 0x80;

/// What an interface shall be, checked.
struct Wanted {
    name: String,
    mac: Option<[u8; 6]>,
    mtu: Option<u32>,
    addresses: Vec<Prefix>,
    no_arp: bool,
    path: Option<PciPath>,
}

impl TryFrom<&Interface> for Wanted {
    type Error = Failure;

    fn try_from(interface: &Interface) -> Result<Self> {
        let mac = Some(interface.hwAddr.as_str()).filter(|text| !text.is_empty());
        let path = Some(interface.devicePath.as_str()).filter(|text| !text.is_empty());
        let mtu = u32::try_from(interface.mtu)
            .ok()
            .filter(|mtu| *mtu == 0 || *mtu >= 68)
            .ok_or_else(|| Failure::invalid(format!("mtu {}: at least 68", interface.mtu)))?;
        let addresses = interface.IPAddresses.iter();
        Ok(Self {
            name: parse::link_name(&interface.name)?.to_owned(),
            mac: mac.map(parse::mac).transpose()?,
            // 0 is "not said", since the wire has no other way to not say it.
            mtu: (mtu > 0).then_some(mtu),
            addresses: addresses
                .map(|entry| parse::with_mask(&entry.address, &entry.mask))
                .collect::<Result<_>>()?,
            no_arp: interface.raw_flags & NO_ARP != 0,
            path: path.map(str::parse).transpose()?,
        })
    }
}

/// Makes the interface with the given MAC what the request says; echoes it.
///
/// # Errors
/// INVALID_ARGUMENT for what cannot be meant; INTERNAL, "Link not found" when there is no such
/// interface (yet), else the kernel's refusal.
pub(crate) async fn update_interface(
    agent: &Agent,
    request: UpdateInterfaceRequest,
) -> Result<Interface> {
    let interface = request
        .interface
        .into_option()
        .ok_or_else(|| Failure::invalid("the request has no interface"))?;
    let wanted = Wanted::try_from(&interface)?;
    agent.modules.load([NET]).await?;
    if let Some(path) = &wanted.path {
        device::find_interface(agent, path).await?;
    }
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    let link = choose(&links, &wanted).ok_or_else(|| not_found(&interface.hwAddr))?;
    apply(&netlink, &links, link, &wanted)
        .await
        .map_err(|failure| failure.within(format!("interface {}", wanted.name)))?;
    Ok(interface)
}

/// The link with the MAC, else the one with the name.
fn choose<'a>(links: &'a [Link], wanted: &Wanted) -> Option<&'a Link> {
    let by_mac = links
        .iter()
        .find(|link| wanted.mac.is_some_and(|mac| link.mac == mac));
    by_mac.or_else(|| links.iter().find(|link| link.name == wanted.name))
}

async fn apply(netlink: &Netlink, links: &[Link], link: &Link, wanted: &Wanted) -> Result<()> {
    let new_mac = wanted.mac.filter(|mac| link.mac != mac);
    let rename = link.name != wanted.name;
    if link.up && (rename || new_mac.is_some()) {
        set(netlink, "take down", unspecified(link.index).down()).await?;
    }
    if rename {
        make_room(netlink, links, wanted, link).await?;
    }
    let mut change = unspecified(link.index).arp(!wanted.no_arp);
    if rename {
        change = change.name(wanted.name.clone());
    }
    if let Some(mac) = new_mac {
        change = change.address(mac.to_vec());
    }
    if let Some(mtu) = wanted.mtu.filter(|mtu| *mtu != link.mtu) {
        change = change.mtu(mtu);
    }
    set(netlink, "set up", change).await?;
    set_addresses(netlink, link.index, &wanted.addresses).await?;
    set(netlink, "bring up", unspecified(link.index).up()).await
}

fn unspecified(index: u32) -> LinkMessageBuilder<LinkUnspec> {
    LinkUnspec::new_with_index(index)
}

async fn set(netlink: &Netlink, what: &str, change: LinkMessageBuilder<LinkUnspec>) -> Result<()> {
    let request = netlink.handle.link().set(change.build());
    request.execute().await.map_err(|error| failed(what, error))
}

/// Whoever has the wanted name now gets the name that becomes free.
async fn make_room(netlink: &Netlink, links: &[Link], wanted: &Wanted, link: &Link) -> Result<()> {
    let Some(occupant) = links.iter().find(|other| other.name == wanted.name) else {
        return Ok(());
    };
    let down = || unspecified(occupant.index).down();
    if occupant.up {
        set(netlink, "take the occupant down", down()).await?;
    }
    let aside = format!("vc-{}", occupant.index);
    set(netlink, "rename", unspecified(link.index).name(aside)).await?;
    set(
        netlink,
        "rename the occupant",
        unspecified(occupant.index).name(link.name.clone()),
    )
    .await?;
    if occupant.up {
        set(
            netlink,
            "bring the occupant up",
            unspecified(occupant.index).up(),
        )
        .await?;
    }
    Ok(())
}

/// Adds the wanted addresses and takes away other global ones.
async fn set_addresses(netlink: &Netlink, index: u32, wanted: &[Prefix]) -> Result<()> {
    let v6 = Path::new("/proc/sys/net/ipv6").exists();
    let addresses = netlink.handle.address();
    let present: Vec<AddressMessage> = addresses
        .get()
        .set_link_index_filter(index)
        .execute()
        .try_collect()
        .await
        .map_err(|error| failed("list addresses", error))?;
    for message in present {
        let stale = prefix_of(&message).is_some_and(|prefix| !wanted.contains(&prefix));
        if stale && message.header.scope == AddressScope::Universe {
            addresses
                .del(message)
                .execute()
                .await
                .map_err(|error| failed("remove an address", error))?;
        }
    }
    for prefix in wanted
        .iter()
        .filter(|prefix| v6 || prefix.address.is_ipv4())
    {
        addresses
            .add(index, prefix.address, prefix.length)
            .replace()
            .execute()
            .await
            .map_err(|error| failed(format!("add address {}", prefix.address), error))?;
    }
    Ok(())
}

/// The link's own address: where there is a peer, `IFA_LOCAL` has it.
fn prefix_of(message: &AddressMessage) -> Option<Prefix> {
    let mut address: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(any) => address = address.or(Some(*any)),
            _ => {}
        }
    }
    address.map(|address| Prefix {
        address,
        length: message.header.prefix_len,
    })
}

/// All interfaces with their addresses.
///
/// # Errors
/// INTERNAL when the kernel does not tell.
pub(crate) async fn list_interfaces() -> Result<Interfaces> {
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    let addresses: Vec<AddressMessage> = netlink
        .handle
        .address()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|error| failed("list addresses", error))?;
    let on = |index| {
        addresses
            .iter()
            .filter(move |message| message.header.index == index)
    };
    let describe = |link: &Link| Interface {
        device: link.name.clone(),
        name: link.name.clone(),
        IPAddresses: on(link.index)
            .filter_map(prefix_of)
            .map(describe_address)
            .collect(),
        mtu: link.mtu.into(),
        hwAddr: parse::mac_text(&link.mac),
        raw_flags: if link.no_arp { NO_ARP } else { 0 },
        ..Interface::default()
    };
    Ok(Interfaces {
        Interfaces: links.iter().map(describe).collect(),
        ..Default::default()
    })
}

fn describe_address(prefix: Prefix) -> IPAddress {
    let family = if prefix.address.is_ipv4() {
        IPFamily::v4
    } else {
        IPFamily::v6
    };
    IPAddress {
        family: family.into(),
        address: prefix.address.to_string(),
        mask: prefix.length.to_string(),
        ..IPAddress::default()
    }
}
