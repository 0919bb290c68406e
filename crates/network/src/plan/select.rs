//! Which links become interfaces of the machine, and why others do not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use virtcontainers_types::MacAddress;

use super::{EndpointKind, Skipped};
use crate::view::{Address, Link};
use crate::{Config, Error, ErrorKind, Model, View};

/// `ifa_scope` of an address that is good on its link only (rtnetlink(7)).
const SCOPE_LINK: u8 = 253;

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
        if config.connected.contains(&link.name) {
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
        selection.chosen.push(choose(link, config)?);
    }
    no_duplicates(&selection.chosen)?;
    if selection.chosen.len() > config.max_interfaces {
        let names: Vec<_> = selection.chosen.iter().map(|one| &*one.link.name).collect();
        let message = format!(
            "{} interfaces ({}) are more than the machine has room for: leave at most {}",
            names.len(),
            names.join(", "),
            config.max_interfaces
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(selection)
}

fn named_are_there(view: &View, config: &Config) -> Result<(), Error> {
    let only = config.only.iter().flatten();
    let named = only
        .chain(config.limits.keys())
        .chain(config.vhost_user.keys());
    for name in named {
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
    } else if !addresses().any(is_given) {
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

fn choose<'a>(link: &'a Link, config: &Config) -> Result<Chosen<'a>, Error> {
    let kind = EndpointKind::of(link, config)?;
    let good = |mac: &MacAddress| mac.0 != [0; 6] && mac.0[0] & 1 == 0;
    let Some(mac) = link.mac.filter(good) else {
        let message = format!(
            "cannot connect the interface {}: it has no hardware address of its own",
            link.name
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    };
    Ok(Chosen { link, mac, kind })
}

fn no_duplicates(chosen: &[Chosen<'_>]) -> Result<(), Error> {
    let mut macs = BTreeMap::new();
    let mut names = BTreeMap::new();
    for one in chosen {
        if let Some(other) = macs.insert(one.mac, &one.link.name) {
            let message = format!(
                "the interfaces {other} and {} have the same hardware address {}, by which the \
                 guest would find either: change one",
                one.link.name, one.mac
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if let Some(other) = names.insert(&one.link.name, one.link.index) {
            let message = format!(
                "the interfaces {other} and {} have the same name {}",
                one.link.index, one.link.name
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    Ok(())
}

/// Whether a link's name is one that we give.
fn is_ours(name: &str) -> bool {
    let middle = name.strip_suffix("_vc").and_then(|rest| {
        let tap = rest.strip_prefix("tap");
        tap.or_else(|| rest.strip_prefix("mvt"))
            .or_else(|| rest.strip_prefix("br"))
    });
    middle.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
