//! `AddARPNeighbors`.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use virtcontainers_agent_proto::agent::AddARPNeighborsRequest;
use virtcontainers_agent_proto::types::ARPNeighbor;

use super::netlink::{Link, Netlink, errno, failed, index};
use super::parse;
use crate::status::{Failure, Result};

/// Adds neighbours, in the place of what is known of the same address on the same link. A state of
/// 0 makes one permanent. All or none: when one is refused, those before it are undone.
///
/// # Errors
/// INVALID_ARGUMENT for an address that is none, INTERNAL for an unknown link or what the kernel
/// refuses.
pub(crate) async fn add_neighbours(request: AddARPNeighborsRequest) -> Result<()> {
    let neighbours = request
        .neighbors
        .into_option()
        .ok_or_else(|| Failure::invalid("the request has no neighbors"))?
        .ARPNeighbors;
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    let wanted = neighbours
        .iter()
        .map(|neighbour| message(neighbour, &links))
        .collect::<Result<Vec<_>>>()?;
    let listed = netlink.handle.neighbours().get().execute();
    let before: std::result::Result<Vec<NeighbourMessage>, _> = listed.try_collect().await;
    let before = before.map_err(|error| failed("list neighbours", error))?;
    for (number, message) in wanted.iter().enumerate() {
        if let Err(error) = put(&netlink, message.clone()).await {
            let address = &neighbours[number].toIPAddress.address;
            let device = &neighbours[number].device;
            for done in wanted[..number].iter().rev() {
                undo(&netlink, &before, done).await;
            }
            return Err(failed(format!("neighbour {address} on {device}"), error));
        }
    }
    Ok(())
}

/// One neighbour in the kernel's form.
fn message(neighbour: &ARPNeighbor, links: &[Link]) -> Result<NeighbourMessage> {
    let target = neighbour
        .toIPAddress
        .as_ref()
        .ok_or_else(|| Failure::invalid("a neighbour needs toIPAddress"))?;
    let address = parse::ip(&target.address)?;
    let hardware = parse::mac(&neighbour.lladdr)?;
    let number = |value: i32, what: &str| {
        u16::try_from(value).map_err(|_| Failure::invalid(format!("{what} {value} of a neighbour")))
    };
    let state = match number(neighbour.state, "state")? {
        0 => NeighbourState::Permanent,
        bits => NeighbourState::from(bits),
    };
    let flags = u8::try_from(number(neighbour.flags, "flags")?)
        .map_err(|_| Failure::invalid(format!("flags {} of a neighbour", neighbour.flags)))?;
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index(links, &neighbour.device)?;
    message.header.state = state;
    message.header.flags = NeighbourFlags::from_bits_retain(flags);
    let (family, address) = match address {
        IpAddr::V4(address) => (libc::AF_INET, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (libc::AF_INET6, NeighbourAddress::Inet6(address)),
    };
    message.header.family = u8::try_from(family).unwrap_or_default().into();
    message.attributes = vec![
        NeighbourAttribute::Destination(address),
        NeighbourAttribute::LinkLayerAddress(hardware.to_vec()),
    ];
    Ok(message)
}

/// Adds a neighbour, or puts it in the place of the one with its address.
pub(super) async fn put(
    netlink: &Netlink,
    message: NeighbourMessage,
) -> std::result::Result<(), rtnetlink::Error> {
    // The address given here is overwritten with the rest.
    let unspecified = IpAddr::from([0; 4]);
    let neighbours = netlink.handle.neighbours();
    let mut request = neighbours.add(message.header.ifindex, unspecified);
    *request.message_mut() = message;
    request.replace().execute().await
}

/// Puts back what was told before, or forgets: what the kernel had found out, it finds out again.
async fn undo(netlink: &Netlink, before: &[NeighbourMessage], done: &NeighbourMessage) {
    let told = [NeighbourState::Permanent, NeighbourState::Noarp];
    let old = before.iter().find(|old| is_of_same(old, done));
    let undone = match old.filter(|old| told.contains(&old.header.state)) {
        Some(old) => put(netlink, old.clone()).await,
        None => {
            netlink
                .handle
                .neighbours()
                .del(done.clone())
                .execute()
                .await
        }
    };
    match undone {
        Err(error) if errno(&error) != Some(libc::ENOENT) => {
            log::warn!("{}", failed("put back a neighbour", error));
        }
        Ok(()) | Err(_) => {}
    }
}

fn is_of_same(one: &NeighbourMessage, other: &NeighbourMessage) -> bool {
    let address = |message: &NeighbourMessage| {
        let mut attributes = message.attributes.iter();
        attributes.find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(address) => Some(address.clone()),
            _ => None,
        })
    };
    one.header.ifindex == other.header.ifindex && address(one) == address(other)
}
