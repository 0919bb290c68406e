//! Which links become interfaces of the machine, and why others do not.

use std::net::IpAddr;

use virtcontainers_types::MacAddress;

use super::{EndpointKind, Skipped, unique};
use crate::view::{Address, Link};
use crate::{Config, Error, ErrorKind, Model, View};

/// `ifa_scope` of an address that is good on its link only (rtnetlink(7)).
const SCOPE_LINK: u8 = 253;
/// The least size of a packet that an Ethernet interface of the kernel takes (`ETH_MIN_MTU`).
const LEAST_MTU: u32 = 68;

/// A link that becomes an interface of the machine.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) link: &'a Link,
    pub(super) mac: MacAddress,
    pub(super) kind: EndpointKind,
}

/// What becomes of the links of a view.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) chosen: Vec<Chosen<'a>>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) notes: Vec<String>,
}

/// Sorts the links of a view.
pub(super) fn select<'a>(view: &'a View, config: &Config) -> Result<Selection<'a>, Error> {
    named_are_there(view, config)?;
    let mut links: Vec<&Link> = view.links.iter().collect();
    links.sort_by(|a, b| (a.index, &a.name).cmp(&(b.index, &b.name)));
    let is_connected = |link: &&Link| config.connected.contains(&link.name);
    let connected: Vec<&Link> = links.iter().copied().filter(is_connected).collect();
    links.retain(|link| !is_connected(link));
    let mut selection = Selection {
        chosen: Vec::new(),
        skipped: Vec::new(),
        notes: Vec::new(),
    };
    for link in links {
        let wanted = config.only.as_ref();
        if wanted.is_some_and(|only| !only.contains(&link.name)) {
            continue;
        }
        // What connects the machine's own interfaces is no news.
        if wanted.is_none() && !config.connected.is_empty() && is_ours(&link.name) {
            continue;
        }
        if let Some(reason) = why_not(view, config, link) {
            if wanted.is_some() {
                let message = format!("cannot connect the interface {}: it {reason}", link.name);
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            note_loopback(view, link, &mut selection.notes);
            selection.skipped.push(Skipped {
                index: link.index,
                name: link.name.clone(),
                reason: reason.to_owned(),
            });
            continue;
        }
        selection.chosen.push(choose(view, link, config)?);
    }
    unique::check(view, config, &selection.chosen, &connected)?;
    enough_room(config, &selection.chosen)?;
    Ok(selection)
}

fn enough_room(config: &Config, chosen: &[Chosen<'_>]) -> Result<(), Error> {
    let count = config.connected.len() + chosen.len();
    if chosen.is_empty() || count <= config.max_interfaces {
        return Ok(());
    }
    let names = chosen.iter().map(|one| &one.link.name);
    let names: Vec<_> = config.connected.iter().chain(names).cloned().collect();
    let message = format!(
        "{count} interfaces ({}) are more than the machine has room for: leave at most {}",
        names.join(", "),
        config.max_interfaces
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

fn named_are_there(view: &View, config: &Config) -> Result<(), Error> {
    let only = || config.only.iter().flatten();
    if let Some(name) = only().find(|name| config.connected.contains(*name)) {
        let message = format!("the machine has the interface {name} already");
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    let named = only()
        .chain(config.limits.keys())
        .chain(config.vhost_user.keys())
        .chain(config.overrides.keys());
    // What is connected may have gone since.
    for name in named.filter(|name| !config.connected.contains(*name)) {
        if !view.links.iter().any(|link| link.name == *name) {
            let message = format!(
                "there is no interface {name} in the network namespace {}",
                view.namespace.path.display()
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
    }
    Ok(())
}

fn why_not(view: &View, config: &Config, link: &Link) -> Option<&'static str> {
    let addresses = || view.addresses.iter().filter(|one| one.link == link.index);
    if link.loopback {
        Some("is the loopback interface, of which a guest has its own")
    } else if is_ours(&link.name) {
        Some("connects another interface")
    } else if config.model == Model::None {
        Some("is not connected, as configured")
    } else if !addresses().any(is_given) && config.addresses_of(&link.name).is_empty() {
        Some("has no address")
    } else {
        None
    }
}

/// Whether somebody gave it: IPv6 makes one for the link alone by itself.
fn is_given(address: &Address) -> bool {
    address.address.address().is_ipv4() || address.scope != SCOPE_LINK
}

/// Addresses that somebody added to the loopback interface are not there in the guest.
fn note_loopback(view: &View, link: &Link, notes: &mut Vec<String>) {
    let own = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback(),
    };
    if !link.loopback {
        return;
    }
    for address in view.addresses.iter().filter(|one| one.link == link.index) {
        if !own(address.address.address()) {
            notes.push(format!(
                "the address {} on {} is not in the guest",
                address.address, link.name
            ));
        }
    }
}

fn choose<'a>(view: &View, link: &'a Link, config: &Config) -> Result<Chosen<'a>, Error> {
    let refuse = |kind, why: String| {
        let message = format!("cannot connect the interface {}: {why}", link.name);
        Err(Error::new(kind, message))
    };
    let kind = EndpointKind::of(link, config)?;
    let good = |mac: &MacAddress| mac.0 != [0; 6] && mac.0[0] & 1 == 0;
    let Some(mac) = link.mac.filter(good) else {
        let why = "it has no hardware address of its own".to_owned();
        return refuse(ErrorKind::Invalid, why);
    };
    let wanted = config.overrides.get(&link.name).and_then(|over| over.mtu);
    if let Some(mtu) = wanted.filter(|mtu| !(LEAST_MTU..=link.mtu).contains(mtu)) {
        let most = link.mtu;
        let why = format!(
            "its packets have {LEAST_MTU} to {most} bytes, and the guest's cannot have {mtu}"
        );
        return refuse(ErrorKind::Invalid, why);
    }
    // A link belongs to one such thing at most: it would be taken from another.
    let taken = matches!(config.model, Model::MacVtap | Model::Bridged) && kind.takes_every_model();
    let master = link.master.and_then(|index| view.link(index));
    if let Some(master) = master.filter(|master| taken && !is_ours(&master.name)) {
        let why = format!("it belongs to {}; use the model tcfilter", master.name);
        return refuse(ErrorKind::Unsupported, why);
    }
    Ok(Chosen { link, mac, kind })
}

/// Whether a link's name is one that we give.
pub(super) fn is_ours(name: &str) -> bool {
    let middle = name.strip_suffix("_vc").and_then(|rest| {
        let tap = rest.strip_prefix("tap");
        tap.or_else(|| rest.strip_prefix("mvt"))
            .or_else(|| rest.strip_prefix("br"))
    });
    middle.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
