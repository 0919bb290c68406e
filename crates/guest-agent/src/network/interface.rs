//! `UpdateInterface` and `ListInterfaces`.

use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use virtcontainers_agent_proto::agent::{Interfaces, UpdateInterfaceRequest};
use virtcontainers_agent_proto::types::Interface;

use super::address;
use super::kept::Kept;
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
                .map(|entry| parse::own(&entry.address, &entry.mask))
                .collect::<Result<_>>()?,
            no_arp: interface.raw_flags & NO_ARP != 0,
            path: path.map(str::parse).transpose()?,
        })
    }
}

/// Makes the interface at the given PCI path, or with the given MAC, what the request says; echoes
/// it. When that fails half-way, the interface is as before.
///
/// # Errors
/// INVALID_ARGUMENT for what cannot be meant, FAILED_PRECONDITION when several interfaces have the
/// MAC and none the name; INTERNAL, "Link not found" when there is no such interface (yet, or any
/// more), or what did not appear at the path, else the kernel's refusal.
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
    let index = match &wanted.path {
        Some(path) => Some(device::find_interface(agent, path).await?),
        None => None,
    };
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    let link = match index {
        Some(index) => links.iter().find(|link| link.index == index),
        None => choose(&links, &wanted)?,
    };
    let link = link.ok_or_else(|| not_found(&interface.hwAddr))?;
    let kept = Kept::of(&netlink, link).await?;
    let addresses: Vec<_> = wanted
        .addresses
        .iter()
        .map(|prefix| address::message(link.index, *prefix))
        .collect();
    let done = apply(&netlink, &links, link, &wanted.shape(), &addresses).await;
    if let Err(failure) = done {
        if let Err(second) = restore(&netlink, link, &kept).await {
            log::warn!("interface {}: put back: {second}", link.name);
        }
        return Err(failure.within(format!("interface {}", wanted.name)));
    }
    kept.put_back_routes(&netlink).await;
    Ok(interface)
}

/// The link with the MAC, else the one with the name. A link on top of another often has its MAC,
/// so that of several it is the one with the name.
///
/// # Errors
/// FAILED_PRECONDITION when there is none with the name.
fn choose<'a>(links: &'a [Link], wanted: &Wanted) -> Result<Option<&'a Link>> {
    let mut named = links.iter().filter(|link| link.name == wanted.name);
    let has_mac = |link: &&Link| wanted.mac.is_some_and(|mac| link.mac == mac);
    let with_mac: Vec<_> = links.iter().filter(has_mac).collect();
    match with_mac.as_slice() {
        [] => Ok(named.next()),
        [link] => Ok(Some(link)),
        [first, second, ..] => named.find(has_mac).map(Some).ok_or_else(|| {
            Failure::wrong_state(format!(
                "interface {}: {} and {} both have the hardware address {}; give each its own",
                wanted.name,
                first.name,
                second.name,
                parse::mac_text(&first.mac)
            ))
        }),
    }
}

/// What a link itself is to be.
struct Shape<'a> {
    name: &'a str,
    mac: Option<&'a [u8]>,
    mtu: Option<u32>,
    no_arp: bool,
    up: bool,
}

impl Wanted {
    fn shape(&self) -> Shape<'_> {
        Shape {
            name: &self.name,
            mac: self.mac.as_ref().map(<[u8; 6]>::as_slice),
            mtu: self.mtu,
            no_arp: self.no_arp,
            up: true,
        }
    }
}

async fn apply(
    netlink: &Netlink,
    links: &[Link],
    link: &Link,
    wanted: &Shape<'_>,
    addresses: &[AddressMessage],
) -> Result<()> {
    let new_mac = wanted.mac.filter(|mac| link.mac != *mac);
    let rename = link.name != wanted.name;
    if link.up && (rename || new_mac.is_some()) {
        set(netlink, "take down", unspecified(link.index).down()).await?;
    }
    if rename {
        make_room(netlink, links, wanted.name, link).await?;
    }
    let mut change = unspecified(link.index).arp(!wanted.no_arp);
    if rename {
        change = change.name(wanted.name.to_owned());
    }
    if let Some(mac) = new_mac {
        change = change.address(mac.to_vec());
    }
    if let Some(mtu) = wanted.mtu.filter(|mtu| *mtu != link.mtu) {
        change = change.mtu(mtu);
    }
    set(netlink, "set up", change).await?;
    address::skip_detection(wanted.name);
    address::replace(netlink, link.index, addresses).await?;
    let (what, change) = if wanted.up {
        ("bring up", unspecified(link.index).up())
    } else {
        ("take down", unspecified(link.index).down())
    };
    set(netlink, what, change).await
}

/// Makes the link what it was, whatever of a change was done.
async fn restore(netlink: &Netlink, before: &Link, kept: &Kept) -> Result<()> {
    let links = netlink.links().await?;
    let now = links
        .iter()
        .find(|link| link.index == before.index)
        .ok_or_else(|| not_found(&before.name))?;
    let shape = Shape {
        name: &before.name,
        mac: Some(&before.mac)
            .filter(|mac| !mac.is_empty())
            .map(Vec::as_slice),
        mtu: Some(before.mtu),
        no_arp: before.no_arp,
        up: before.up,
    };
    apply(netlink, &links, now, &shape, kept.addresses()).await?;
    kept.put_back_routes(netlink).await;
    Ok(())
}

fn unspecified(index: u32) -> LinkMessageBuilder<LinkUnspec> {
    LinkUnspec::new_with_index(index)
}

async fn set(netlink: &Netlink, what: &str, change: LinkMessageBuilder<LinkUnspec>) -> Result<()> {
    let request = netlink.handle.link().set(change.build());
    request.execute().await.map_err(|error| failed(what, error))
}

/// Whoever has the wanted name now gets the name that becomes free.
async fn make_room(netlink: &Netlink, links: &[Link], name: &str, link: &Link) -> Result<()> {
    let Some(occupant) = links.iter().find(|other| other.name == name) else {
        return Ok(());
    };
    let kept = Kept::of(netlink, occupant).await?;
    if occupant.up {
        let down = unspecified(occupant.index).down();
        set(netlink, "take the occupant down", down).await?;
    }
    let aside = format!("vc-{}", link.index);
    set(netlink, "rename", unspecified(link.index).name(aside)).await?;
    let change = unspecified(occupant.index).name(link.name.clone());
    set(netlink, "rename the occupant", change).await?;
    if occupant.up {
        address::skip_detection(&link.name);
        let up = unspecified(occupant.index).up();
        set(netlink, "bring the occupant up", up).await?;
        kept.put_back(netlink).await;
    }
    Ok(())
}

/// All interfaces with their addresses.
///
/// # Errors
/// INTERNAL when the kernel does not tell.
pub(crate) async fn list_interfaces() -> Result<Interfaces> {
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    let addresses = address::all(&netlink).await?;
    let on = |index| {
        addresses
            .iter()
            .filter(move |message| message.header.index == index)
    };
    let describe = |link: &Link| Interface {
        device: link.name.clone(),
        name: link.name.clone(),
        IPAddresses: on(link.index)
            .filter_map(address::prefix_of)
            .map(address::describe)
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
