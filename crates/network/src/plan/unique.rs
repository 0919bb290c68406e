//! What two interfaces of a machine may not share: hardware address, name, device.

use std::collections::BTreeMap;

use super::connect::another;
use super::select::{Chosen, is_ours};
use crate::view::Link;
use crate::{Config, Error, ErrorKind, View};

/// The longest name of an interface, in bytes (`IFNAMSIZ`, with the end).
const LONGEST_NAME: usize = 15;

/// Refuses new interfaces that share something with each other or with one that is connected.
///
/// Errors: `Invalid`.
pub(super) fn check(
    view: &View,
    config: &Config,
    chosen: &[Chosen<'_>],
    connected: &[&Link],
) -> Result<(), Error> {
    addresses(view, chosen, connected)?;
    names(config, chosen, connected)?;
    devices(view, chosen)
}

fn addresses(view: &View, chosen: &[Chosen<'_>], connected: &[&Link]) -> Result<(), Error> {
    let mut macs = BTreeMap::new();
    for one in chosen {
        let same = connected.iter().find(|other| {
            // The guest has the address that an interface had before it became a port of ours.
            let master = other.master.and_then(|index| view.link(index));
            let swapped = master.is_some_and(|master| is_ours(&master.name));
            other.mac == Some(one.mac) || (swapped && other.mac == Some(another(one.mac)))
        });
        let same = same.map(|other| &other.name);
        if let Some(other) = same.or(macs.insert(one.mac, &one.link.name)) {
            return invalid(format!(
                "the interfaces {other} and {} have the same hardware address {}, by which the \
                 guest would find either: change one",
                one.link.name, one.mac
            ));
        }
    }
    Ok(())
}

fn names(config: &Config, chosen: &[Chosen<'_>], connected: &[&Link]) -> Result<(), Error> {
    let mut names = BTreeMap::new();
    for link in connected {
        names.insert(config.guest_name(&link.name), *link);
    }
    for one in chosen {
        let name = config.guest_name(&one.link.name);
        let good = (1..=LONGEST_NAME).contains(&name.len())
            && !["lo", ".", ".."].contains(&name)
            && !name.contains(|c: char| "/:".contains(c) || c.is_whitespace() || c.is_control());
        if !good {
            return invalid(format!(
                "{name:?} cannot be the name of the interface {} in the guest: up to \
                 {LONGEST_NAME} bytes, without spaces, / and :, and not lo",
                one.link.name
            ));
        }
        if let Some(other) = names.insert(name, one.link) {
            return invalid(format!(
                "the interfaces {} ({}) and {} ({}) have the same name {name} in the guest",
                other.name, other.index, one.link.name, one.link.index
            ));
        }
    }
    Ok(())
}

/// A guest that is given a device has all of its interfaces.
fn devices(view: &View, chosen: &[Chosen<'_>]) -> Result<(), Error> {
    let given = chosen
        .iter()
        .filter(|one| one.kind == super::EndpointKind::Physical);
    let device = |link: &Link| link.device.as_ref().map(|device| device.name.clone());
    for one in given {
        let is_other = |link: &&Link| {
            link.index != one.link.index && link.kind.is_empty() && device(link) == device(one.link)
        };
        if let Some(other) = view.links.iter().find(is_other) {
            return invalid(format!(
                "the interfaces {} and {} are of one device, which cannot be given to a machine in \
                 parts; give it a macvlan on {} instead",
                one.link.name, other.name, one.link.name
            ));
        }
    }
    Ok(())
}

fn invalid(message: String) -> Result<(), Error> {
    Err(Error::new(ErrorKind::Invalid, message))
}
