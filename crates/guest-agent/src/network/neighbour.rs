//! `AddARPNeighbors`.

use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use virtcontainers_agent_proto::agent::AddARPNeighborsRequest;

use super::netlink::{Netlink, failed};
use super::parse;
use crate::status::{Failure, Result};

/// Adds or replaces neighbours. A state of 0 makes one permanent.
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
    for neighbour in neighbours {
        let target = neighbour
            .toIPAddress
            .as_ref()
            .ok_or_else(|| Failure::invalid("a neighbour needs toIPAddress"))?;
        let address = parse::ip(&target.address)?;
        let hardware = parse::mac(&neighbour.lladdr)?;
        let number = |value: i32, what: &str| {
            u16::try_from(value)
                .map_err(|_| Failure::invalid(format!("{what} {value} of a neighbour")))
        };
        let state = match number(neighbour.state, "state")? {
            0 => NeighbourState::Permanent,
            bits => NeighbourState::from(bits),
        };
        let flags = u8::try_from(number(neighbour.flags, "flags")?)
            .map_err(|_| Failure::invalid(format!("flags {} of a neighbour", neighbour.flags)))?;
        let index = netlink.index(&neighbour.device).await?;
        netlink
            .handle
            .neighbours()
            .add(index, address)
            .link_layer_address(&hardware)
            .state(state)
            .flags(NeighbourFlags::from_bits_retain(flags))
            .replace()
            .execute()
            .await
            .map_err(|error| failed(format!("neighbour {address}"), error))?;
    }
    Ok(())
}
