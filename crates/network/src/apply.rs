//! Carrying out a plan.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;

use virtcontainers_types::{MacAddress, UndoSink};

use crate::effect::{Effect, LinkRef};
use crate::netlink::Netlink;
use crate::plan::{Connection, Endpoint, Guest, Plan};
use crate::scan::links;
use crate::sysfs::Sysfs;
use crate::thread::inside;
use crate::undo::{Undo, record};
use crate::view::Link;
use crate::{Error, ErrorKind, Namespace, device, link, tc, vfio};

/// What a connected machine is made of.
#[derive(Debug)]
pub struct Applied {
    /// For the machine: a device for each, in the plan's order.
    pub for_machine: Vec<Nic>,
    /// For the guest's agent.
    pub for_guest: Guest,
}

/// A network device of a machine to be.
#[derive(Debug)]
pub struct Nic {
    /// The interface's index in the namespace.
    pub index: u32,
    /// The interface's name in the namespace.
    pub name: String,
    /// The hardware address that the device has.
    pub mac: MacAddress,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// How many pairs of queues it has.
    pub queues: u16,
    /// What carries its frames.
    pub connection: Connection,
    /// A tap, or the device of a macvtap, once for each pair of queues; with virtio headers
    /// (`IFF_VNET_HDR`), not blocking, closed on exec. A tap goes when all copies are closed. None
    /// for other connections.
    pub descriptors: Vec<OwnedFd>,
    /// vhost-net, once for each pair of queues; none where the host has it not.
    pub vhost: Vec<OwnedFd>,
}

/// Connects a machine to its namespace as planned. Each change is entered in `undo` before it
/// happens; what was entered remains to be undone after an error too. Blocks for some milliseconds
/// for each interface.
///
/// Errors: `WrongState` when the plan is for another namespace; `AlreadyExists` when a link that it
/// makes is there already; `Unsupported` for what the kernel lacks; `NotFound` when an interface has
/// gone since. Before anything has happened: `NotFound` and `Invalid` for a user-space switch that is
/// not there, and what [`plan`](crate::plan()) refuses of a device. `Busy`, `Denied`, `Internal`.
pub fn apply(plan: &Plan, namespace: &Namespace, undo: &dyn UndoSink) -> Result<Applied, Error> {
    apply_to(plan, namespace, undo, &Sysfs::host())
}

/// As [`apply`], with the devices of a sysfs.
pub(crate) fn apply_to(
    plan: &Plan,
    namespace: &Namespace,
    undo: &dyn UndoSink,
    sysfs: &Sysfs<'_>,
) -> Result<Applied, Error> {
    let ready = plan.endpoints.iter().try_for_each(is_served);
    ready
        .and_then(|()| vfio::as_seen(plan, sysfs))
        .map_err(|error| error.within(namespace.path()))?;
    if namespace.id()?.is_another_than(&plan.namespace) {
        let message = format!(
            "the plan was made for another network namespace than {}: scan it again",
            namespace.path().display()
        );
        return Err(Error::new(ErrorKind::WrongState, message));
    }
    let for_machine = inside(namespace, || {
        let netlink = Netlink::open()
            .map_err(|source| Error::system("speak to the kernel in", namespace.path(), source))?;
        as_seen(plan, &netlink)?;
        let endpoints = plan.endpoints.iter();
        endpoints
            .map(|endpoint| connect(plan, endpoint, &netlink, undo, sysfs))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.within(namespace.path()))
    })?;
    tracing::debug!(
        interfaces = for_machine.len(),
        "connected a network namespace"
    );
    Ok(Applied {
        for_machine,
        for_guest: plan.guest.clone(),
    })
}

/// That the socket of a user-space switch is there. It is not connected to: it may serve one only.
fn is_served(endpoint: &Endpoint) -> Result<(), Error> {
    let Connection::VhostUser { socket } = &endpoint.connection else {
        return Ok(());
    };
    let name = &endpoint.name;
    let refuse = |kind, why: &str| {
        let message = format!(
            "cannot connect the interface {name}: {} {why}; start the switch, or correct the path of \
             its socket",
            socket.display()
        );
        Error::new(kind, message)
    };
    match std::fs::metadata(socket) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => Err(refuse(ErrorKind::Invalid, "is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(refuse(ErrorKind::NotFound, "does not exist"))
        }
        Err(error) => {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Internal,
            };
            Err(refuse(kind, "cannot be looked at").with_source(error))
        }
    }
}

/// That everything is still as it was seen: the interfaces are there, and the names free that will
/// be given.
fn as_seen(plan: &Plan, netlink: &Netlink) -> Result<(), Error> {
    let links =
        links(netlink).map_err(|source| Error::system("look at", &plan.namespace.path, source))?;
    for endpoint in &plan.endpoints {
        let same = |link: &Link| link.index == endpoint.index && link.mac == Some(endpoint.mac);
        if !links.iter().any(same) {
            let message = format!(
                "the interface {} with the hardware address {} has gone from the network namespace \
                 {}: scan it again",
                endpoint.name,
                endpoint.mac,
                plan.namespace.path.display()
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
    }
    let effects = plan.endpoints.iter().flat_map(|endpoint| &endpoint.effects);
    for name in effects.filter_map(Effect::makes) {
        if links.iter().any(|link| link.name == name) {
            let message = format!(
                "the link {name} is there already, in use by another machine or left behind by one: \
                 containers that share a network namespace have to be in one pod; if no machine uses \
                 it, remove it with `ip link delete {name}`"
            );
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
    }
    Ok(())
}

fn connect(
    plan: &Plan,
    endpoint: &Endpoint,
    netlink: &Netlink,
    undo: &dyn UndoSink,
    sysfs: &Sysfs<'_>,
) -> Result<Nic, Error> {
    let mut descriptors = Vec::new();
    for effect in &endpoint.effects {
        let change = Undo::Change {
            namespace: plan.namespace.clone(),
            change: effect.clone(),
        };
        record(undo, &plan.namespace.path, &change)?;
        let done = match effect.is_of_device() {
            true => vfio::carry_out(effect, sysfs).map(|()| Vec::new()),
            false => carry_out(effect, netlink),
        };
        let done = done.map_err(|source| Error::link(effect.verb(), effect.target(), source))?;
        descriptors.extend(done);
    }
    if let Connection::MacVtap { name } = &endpoint.connection {
        descriptors = device::open_macvtap(name, endpoint.queues)?;
    }
    let vhost = match endpoint.vhost {
        true => device::open_vhost(endpoint.queues)?,
        false => Vec::new(),
    };
    Ok(Nic {
        index: endpoint.index,
        name: endpoint.name.clone(),
        mac: endpoint.mac,
        mtu: endpoint.mtu,
        queues: endpoint.queues,
        connection: endpoint.connection.clone(),
        descriptors,
        vhost,
    })
}

/// Makes one change; gives the descriptors of a tap.
fn carry_out(effect: &Effect, netlink: &Netlink) -> io::Result<Vec<OwnedFd>> {
    match effect {
        Effect::Up { link } => link::set_up(netlink, link::index(netlink, link)?, true)?,
        Effect::Tap { name, mtu, queues } => {
            let descriptors = device::make_tap(name, *queues)?;
            let index = link::index(netlink, &LinkRef::made(name))?;
            link::set_mtu(netlink, index, *mtu)?;
            take_up(netlink, index)?;
            return Ok(descriptors);
        }
        Effect::MacVtap { name, on, .. } => {
            link::add_macvtap(netlink, name, link::index(netlink, on)?)?;
            take_up(netlink, link::index(netlink, &LinkRef::made(name))?)?;
        }
        Effect::Bridge { name, mtu } => {
            link::add_bridge(netlink, name, *mtu)?;
            take_up(netlink, link::index(netlink, &LinkRef::made(name))?)?;
        }
        Effect::Port { link, bridge } => {
            let bridge = link::index(netlink, &LinkRef::made(bridge))?;
            link::set_bridge(netlink, link::index(netlink, link)?, bridge)?;
        }
        Effect::Mac {
            link,
            to,
            neighbors,
            ..
        } => {
            let index = link::index(netlink, link)?;
            link::set_mac(netlink, index, *to)?;
            for neighbor in neighbors {
                link::add_neighbor(netlink, index, neighbor)?;
            }
        }
        Effect::Queue { link } => {
            let index = link::index(netlink, link)?;
            link::set_queue(netlink, index, link::USUAL_QUEUE)?;
        }
        Effect::Ingress { link } => tc::add_ingress(netlink, link::index(netlink, link)?)?,
        Effect::Redirect { from, to } => {
            let to = link::index(netlink, to)?;
            tc::add_redirect(netlink, link::index(netlink, from)?, to)?;
        }
        Effect::Shape { link, rate, mtu } => {
            tc::add_rate(netlink, link::index(netlink, link)?, *rate, *mtu)?;
        }
        Effect::TakeDevice { .. } | Effect::ReserveDevice { .. } | Effect::GiveDevice { .. } => {}
    }
    Ok(Vec::new())
}

fn take_up(netlink: &Netlink, index: u32) -> io::Result<()> {
    link::keep_silent(netlink, index)?;
    link::set_up(netlink, index, true)
}
