//! What will be done: decided from a view alone, so that it can be printed, stored and compared.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{Interface, MacAddress, Neighbor, Route, UndoEntry};

use crate::effect::Effect;
use crate::undo::{Undo, entry_of};
use crate::{Config, Error, NamespaceId, View};

mod connect;
mod guest;
mod kind;
pub(crate) mod physical;
mod reach;
mod routes;
mod select;
#[cfg(test)]
mod tests;
mod unique;

pub use kind::EndpointKind;
pub use routes::connected_routes;

/// How a machine is connected to a namespace, and what its guest is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The namespace; the plan is of no use for another one.
    pub namespace: NamespaceId,
    /// The interfaces that the machine gets, in the order of their indexes.
    pub endpoints: Vec<Endpoint>,
    /// What the guest is told.
    pub guest: Guest,
    /// The interfaces that it does not get, and why.
    pub skipped: Vec<Skipped>,
    /// What the guest does not have as the namespace has it, one sentence each.
    pub notes: Vec<String>,
}

/// An interface of the namespace that the machine gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its index in the namespace.
    pub index: u32,
    /// Its name there. The guest's [`Interface::device`] is the same.
    pub name: String,
    /// What it is.
    pub kind: EndpointKind,
    /// The address by which the guest finds it.
    pub mac: MacAddress,
    /// Its largest packet, in bytes; the guest may be told of a smaller one.
    pub mtu: u32,
    /// How many queues the machine's device has.
    pub queues: u16,
    /// Whether to ask the host for vhost-net.
    pub vhost: bool,
    /// How its frames get to the machine.
    pub connection: Connection,
    /// The changes that connect it, in order.
    pub effects: Vec<Effect>,
}

/// What of an endpoint the machine is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// A tap that we make.
    Tap {
        /// Its name.
        name: String,
    },
    /// A macvtap, ours or one that was there.
    #[serde(rename = "macvtap")]
    MacVtap {
        /// Its name.
        name: String,
    },
    /// The device itself, bound to vfio-pci.
    Vfio {
        /// Its address on the PCI bus.
        address: String,
    },
    /// A user-space switch.
    VhostUser {
        /// Its socket.
        socket: PathBuf,
    },
}

impl Connection {
    /// Whether the frames pass a descriptor that we hand over.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self, Self::Tap { .. } | Self::MacVtap { .. })
    }
}

/// What the guest is told, in this order: interfaces, routes, neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guest {
    /// The interfaces, found by their hardware addresses.
    pub interfaces: Vec<Interface>,
    /// The routes of the main table; those without a gateway first, since others need them.
    pub routes: Vec<Route>,
    /// The static neighbours.
    pub neighbors: Vec<Neighbor>,
}

/// An interface of the namespace that the machine does not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Decides how a machine is connected to what was seen. Pure.
///
/// Errors, before anything has happened: `Invalid` for a hardware address or a name that two
/// interfaces share, a route through a link that is not there, more interfaces than there is room
/// for, and for what the guest cannot have in place of what an interface has; `NotFound` for an
/// interface that [`Config::only`], a limit or an override names; `AlreadyExists` for one that is to
/// be added and is connected; `Unsupported` for a link of a kind that cannot be carried, by its name,
/// and for a rate limit that cannot be kept; for a device of the host also `Busy` and `Denied`.
pub fn plan(view: &View, config: &Config) -> Result<Plan, Error> {
    decide(view, config).map_err(|error| error.within(&view.namespace.path))
}

fn decide(view: &View, config: &Config) -> Result<Plan, Error> {
    let mut selection = select::select(view, config)?;
    let mut endpoints = Vec::new();
    for chosen in &selection.chosen {
        endpoints.push(connect::connect(
            view,
            config,
            chosen,
            &selection.chosen,
            &mut selection.notes,
        )?);
    }
    let guest = guest::guest(view, config, &endpoints, &mut selection.notes)?;
    Ok(Plan {
        namespace: view.namespace.clone(),
        endpoints,
        guest,
        skipped: selection.skipped,
        notes: selection.notes,
    })
}

impl Plan {
    /// The undo entries of all effects, in the order in which [`apply`](crate::apply) enters them.
    ///
    /// Errors: `Internal` when one cannot be written as JSON.
    pub fn undo_entries(&self) -> Result<Vec<UndoEntry>, Error> {
        let all = self.endpoints.iter();
        let entries = all.map(|endpoint| endpoint.undo_entries(&self.namespace));
        Ok(entries.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The address of every interface, that the guest shall answer to.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let interfaces = self.guest.interfaces.iter();
        let addresses = interfaces.flat_map(|interface| &interface.addresses);
        addresses.map(|address| address.address())
    }
}

impl Endpoint {
    /// The undo entries of this endpoint's effects, in the order in which they are entered: undone
    /// backwards, they take it out of a running machine.
    ///
    /// Errors: `Internal` when one cannot be written as JSON.
    pub fn undo_entries(&self, namespace: &NamespaceId) -> Result<Vec<UndoEntry>, Error> {
        let entries = self.effects.iter().map(|effect| {
            entry_of(&Undo::Change {
                namespace: namespace.clone(),
                change: effect.clone(),
            })
        });
        entries.collect()
    }
}
