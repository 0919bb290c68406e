//! What the guest's agent is told of its network.

use virtcontainers_agent::AgentPort;
use virtcontainers_network::Guest;
use virtcontainers_types::Route;

use super::wire;
use crate::error::{Context, Error};

/// Has the guest's agent give the interfaces their names and addresses, then routes and neighbours.
pub(crate) async fn set_up(agent: &dyn AgentPort, guest: Guest) -> Result<(), Error> {
    let Guest {
        interfaces,
        routes,
        neighbors,
    } = guest;
    for interface in interfaces {
        let name = interface.name.clone();
        let wanted = wire::interface_to_guest(interface);
        let updated = agent.update_interface(wanted).await;
        updated.during(|| format!("the guest cannot set up the interface {name}"))?;
    }
    set_routes(agent, routes).await?;
    if !neighbors.is_empty() {
        let neighbors = wire::neighbors_to_guest(neighbors);
        agent.add_arp_neighbors(neighbors).await.during(failed)?;
    }
    Ok(())
}

/// Has the guest's agent add routes, in the place of those to the same destination.
pub(crate) async fn set_routes(agent: &dyn AgentPort, routes: Vec<Route>) -> Result<(), Error> {
    if !routes.is_empty() {
        let routes = wire::to_guest(routes);
        agent.update_routes(routes).await.during(failed)?;
    }
    Ok(())
}

fn failed() -> String {
    "the guest cannot set up its network".to_owned()
}
