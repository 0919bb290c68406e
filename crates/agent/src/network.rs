//! A guest's whole network in one call.

use virtcontainers_agent_proto::types::{ARPNeighbor, Interface, Route};

use crate::error::Result;
use crate::port::AgentPort;

/// What the guest's network is to be, in the words of the protocol.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GuestNetwork {
    /// The links, found by their hardware address.
    pub interfaces: Vec<Interface>,
    /// The routes.
    pub routes: Vec<Route>,
    /// Static neighbours.
    pub neighbors: Vec<ARPNeighbor>,
}

/// Sets up links, then the routes over them, then neighbours; sends nothing for what is empty.
///
/// Fails with the first call that fails, and leaves what those before it did. It can be repeated:
/// each call makes of the guest what it says, whatever it was.
pub async fn set_up(agent: &dyn AgentPort, network: &GuestNetwork) -> Result<()> {
    for interface in &network.interfaces {
        agent.update_interface(interface.clone()).await?;
    }
    if !network.routes.is_empty() {
        agent.update_routes(network.routes.clone()).await?;
    }
    if !network.neighbors.is_empty() {
        agent.add_arp_neighbors(network.neighbors.clone()).await?;
    }
    Ok(())
}
