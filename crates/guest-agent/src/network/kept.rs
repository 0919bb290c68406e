//! What a link loses when it is taken down, so that it can have it again.
//!
//! Until Linux 6.2 a link must be down to be renamed, and many must be to change their hardware
//! address. With that go its addresses of IPv6, its routes and its neighbours. Its routes of IPv4
//! go with its last address of IPv4, too, and with a primary address go the secondary ones.

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::neighbour::{NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};

use super::netlink::{Link, Netlink, errno, failed};
use super::{address, neighbour, route};
use crate::status::Result;

/// Addresses, routes and neighbours of one link.
pub(super) struct Kept {
    addresses: Vec<AddressMessage>,
    routes: Vec<RouteMessage>,
    neighbours: Vec<NeighbourMessage>,
}

impl Kept {
    /// What the link has now. One that is down has nothing but addresses, and is asked for no more.
    ///
    /// # Errors
    /// INTERNAL when the kernel does not tell.
    pub(super) async fn of(netlink: &Netlink, link: &Link) -> Result<Self> {
        let index = link.index;
        let addresses = address::on(netlink, index).await?;
        if !link.up {
            return Ok(Self {
                addresses,
                routes: Vec::new(),
                neighbours: Vec::new(),
            });
        }
        let mut routes = route::all(netlink).await?;
        routes.retain(|message| {
            // The kernel makes its own again.
            let own = [RouteProtocol::Kernel, RouteProtocol::Ra];
            message.attributes.contains(&RouteAttribute::Oif(index))
                && !own.contains(&message.header.protocol)
        });
        // The others are reached through those without a gateway.
        routes.sort_by_key(route::has_gateway);
        let neighbours = netlink.handle.neighbours().get().execute();
        let neighbours = neighbours.try_filter(|message| {
            let kept = message.header.ifindex == index
                && message.header.state == NeighbourState::Permanent;
            std::future::ready(kept)
        });
        let neighbours: std::result::Result<_, _> = neighbours.try_collect().await;
        Ok(Self {
            addresses,
            routes,
            neighbours: neighbours.map_err(|error| failed("list neighbours", error))?,
        })
    }

    /// The addresses of the link.
    pub(super) fn addresses(&self) -> &[AddressMessage] {
        &self.addresses
    }

    /// Gives addresses, routes and neighbours to the link again.
    pub(super) async fn put_back(&self, netlink: &Netlink) {
        for message in &self.addresses {
            let alone = std::slice::from_ref(message);
            if let Err(failure) = address::add_missing(netlink, alone, &[]).await {
                log::warn!("put back: {failure}");
            }
        }
        self.put_back_routes(netlink).await;
    }

    /// Gives routes and neighbours to the link again, which is up. A route that does not fit any
    /// more is left out: one from an address, or by a gateway, that the link reaches no more.
    pub(super) async fn put_back_routes(&self, netlink: &Netlink) {
        for message in &self.routes {
            let request = netlink.handle.route().add(route::again(message.clone()));
            match request.execute().await {
                Err(error) if errno(&error) != Some(libc::EEXIST) => {
                    log::info!("{}", failed("put back a route", error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        for message in &self.neighbours {
            if let Err(error) = neighbour::put(netlink, message.clone()).await {
                log::warn!("{}", failed("put back a neighbour", error));
            }
        }
    }
}
