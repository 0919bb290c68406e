//! An interface whose device a machine had: what it was in its namespace, and how it is made so again.
//!
//! Its index is another one afterwards. Queueing disciplines, filters, settings of the device itself
//! (ethtool(8)) and of `/proc/sys` are not brought back.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use serde::{Deserialize, Serialize};
use virtcontainers_types::MacAddress;

use crate::effect::StaticNeighbor;
use crate::netlink::Netlink;
use crate::scan::links;
use crate::thread::inside;
use crate::view::{Address, Link, Route};
use crate::{Error, ErrorKind, Namespace, View, address, link, route};

#[cfg(test)]
mod tests;

/// `RTPROT_KERNEL`, `RTPROT_RA` (linux/rtnetlink.h): made again by whoever made them.
const BY_OTHERS: [u8; 2] = [2, 9];
/// `NUD_PERMANENT` (linux/neighbour.h).
const PERMANENT: u16 = 0x80;
/// `ifa_scope` of an address that is good on its link only (rtnetlink(7)).
const SCOPE_LINK: u8 = 253;

/// Where drivers make interfaces: the first process's namespace is the host's first one, unless that
/// is hidden from us.
const HOST: &str = "/proc/1/ns/net";

/// What an interface was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its index, by which one that never went is known.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: Option<MacAddress>,
    /// Its largest packet, in bytes.
    pub mtu: u32,
    /// Whether it was up.
    pub up: bool,
    /// The addresses that somebody gave to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// The routes that somebody made through it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// The neighbours that somebody told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbors: Vec<StaticNeighbor>,
}

impl Former {
    /// What a link is now, and notes of what will not be brought back.
    pub(crate) fn of(view: &View, link: &Link, notes: &mut Vec<String>) -> Self {
        let mut addresses = view.addresses.clone();
        // Those that come and go by themselves do so again.
        addresses.retain(|one| {
            let own = one.address.address().is_ipv6() && one.scope == SCOPE_LINK;
            one.link == link.index && !one.temporary && !own
        });
        let mut routes = view.routes.clone();
        routes.retain(|one| one.link == Some(link.index) && !BY_OTHERS.contains(&one.protocol));
        for route in &routes {
            if !(route.essential.is_empty() && route.tuning.is_empty()) {
                let to = route.destination.map(|one| one.to_string());
                notes.push(format!(
                    "the route to {} on {} is not brought back after the machine: {}",
                    to.as_deref().unwrap_or("everywhere"),
                    link.name,
                    [&*route.essential, &*route.tuning].concat().join(", ")
                ));
            }
        }
        routes.retain(|one| one.essential.is_empty() && one.tuning.is_empty());
        // Others need those without a gateway.
        routes.sort_by_key(|one| one.gateway.is_some());
        let neighbors = view.neighbors.iter();
        let neighbors =
            neighbors.filter(|one| one.link == link.index && one.state & PERMANENT != 0);
        let neighbors = neighbors.filter_map(|one| {
            Some(StaticNeighbor {
                address: one.address,
                mac: one.mac?,
                flags: one.flags,
            })
        });
        Self {
            index: link.index,
            name: link.name.clone(),
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
            neighbors: neighbors.collect(),
            addresses,
            routes,
        }
    }
}

/// Brings the interface of a device that has its driver again back into its namespace, from the one
/// of the calling thread or of the host's first process, as far as that was not done yet.
///
/// Errors: `NotFound` when the driver has made no interface of it; `Denied`, `Internal`.
pub(crate) fn bring_back(device: &str, former: &Former, into: &Namespace) -> Result<(), Error> {
    let failed = |source| Error::link("bring back the interface", &former.name, source);
    let of_device = |link: &Link| link.device.as_ref().is_some_and(|one| one.name == device);
    let find = || -> io::Result<Option<u32>> {
        let all = links(&Netlink::open()?)?;
        Ok(all
            .iter()
            .find(|link| of_device(link))
            .map(|link| link.index))
    };
    let there = inside(into, || find().map_err(failed))?;
    if there == Some(former.index) {
        return Ok(());
    }
    if there.is_none() {
        let take = || {
            let found = find().map_err(failed)?;
            let moved = found.map(|index| move_to(index, &former.name, into));
            moved.transpose().map_err(failed)
        };
        let mut moved = take()?;
        // Whoever undoes may be in the sandbox's namespace.
        let host = File::open(HOST).ok().filter(|_| moved.is_none());
        if let Some(host) = host {
            moved = inside(&Namespace::new(HOST.into(), host.into()), take)?;
        }
        if moved.is_none() {
            let message = format!(
                "cannot bring back the interface {}: the driver has made none of the device {device} that is seen from here; \
                 the kernel's log may say why",
                former.name
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
    }
    inside(into, || {
        let index = find().map_err(failed)?;
        let gone = || failed(io::Error::from_raw_os_error(libc::ENODEV));
        put_back(former, index.ok_or_else(gone)?).map_err(failed)
    })
}

/// Moves a link of the calling thread's namespace into another one, under a name.
fn move_to(index: u32, name: &str, into: &Namespace) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![
        LinkAttribute::NetNsFd(into.as_fd().as_raw_fd()),
        LinkAttribute::IfName(name.to_owned()),
    ];
    link::set(&Netlink::open()?, message)
}

/// Gives a link of the calling thread's namespace what it had.
fn put_back(former: &Former, index: u32) -> io::Result<()> {
    let netlink = Netlink::open()?;
    let all = links(&netlink)?;
    let now = all.iter().find(|link| link.index == index);
    let mac = former
        .mac
        .filter(|mac| now.is_some_and(|link| link.mac != Some(*mac)));
    if let Some(mac) = mac {
        link::set_mac(&netlink, index, mac)?;
    }
    link::set_mtu(&netlink, index, former.mtu)?;
    for one in &former.addresses {
        unless_there(address::add(&netlink, index, one))?;
    }
    link::set_up(&netlink, index, former.up)?;
    if !former.up {
        return Ok(());
    }
    for one in &former.routes {
        unless_there(route::add(&netlink, index, one))?;
    }
    former
        .neighbors
        .iter()
        .try_for_each(|one| link::add_neighbor(&netlink, index, one))
}

/// It may have been put back before.
fn unless_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        result => result,
    }
}
