//! Links and routes of the simulated guest.

use std::collections::BTreeMap;

use ttrpc::{Code, Error};
use virtcontainers_agent_proto::types::{ARPNeighbor, Interface, Route};

use super::model::status;

#[derive(Debug)]
pub(super) struct Network {
    /// By hardware address; absent until it was configured.
    links: BTreeMap<String, Option<Interface>>,
    pub(super) routes: Vec<Route>,
}

/// Refused with an answer, or as a violation.
#[derive(Debug)]
pub(super) enum Refusal {
    Answer(Error),
    Violation(String),
}

fn violation(text: impl Into<String>) -> Refusal {
    Refusal::Violation(text.into())
}

impl Network {
    pub(super) fn new(links: Vec<String>) -> Self {
        Self {
            links: links.into_iter().map(|address| (address, None)).collect(),
            routes: Vec::new(),
        }
    }

    /// A device was plugged in.
    pub(super) fn add_link(&mut self, address: &str) {
        self.links.entry(address.to_owned()).or_default();
    }

    /// A device was unplugged: what leads over it goes with it.
    pub(super) fn remove_link(&mut self, address: &str) {
        if let Some(Some(link)) = self.links.remove(address) {
            self.routes.retain(|route| route.device != link.name);
        }
    }

    pub(super) fn interfaces(&self) -> Vec<Interface> {
        self.links.values().flatten().cloned().collect()
    }

    pub(super) fn update(&mut self, interface: Interface) -> Result<(), Refusal> {
        if interface.mtu < 68 {
            return Err(violation(format!(
                "UpdateInterface with the mtu {}",
                interface.mtu
            )));
        }
        for address in &interface.IPAddresses {
            if address.mask.parse::<u8>().is_err() || address.address.contains('/') {
                return Err(violation(format!(
                    "UpdateInterface with the mask {:?}, not a prefix length",
                    address.mask
                )));
            }
        }
        let not_found = || {
            let text = format!("Link not found (hwaddr {})", interface.hwAddr);
            Refusal::Answer(status(Code::INTERNAL, text))
        };
        let link = self
            .links
            .get_mut(&interface.hwAddr)
            .ok_or_else(not_found)?;
        *link = Some(interface);
        Ok(())
    }

    fn knows(&self, name: &str) -> bool {
        name == "lo" || self.interfaces().iter().any(|link| link.name == name)
    }

    pub(super) fn add_routes(&mut self, routes: Vec<Route>) -> Result<(), Refusal> {
        for route in routes {
            if !self.knows(&route.device) {
                let device = &route.device;
                return Err(violation(format!(
                    "UpdateRoutes over {device:?} before its update"
                )));
            }
            if !self.routes.contains(&route) {
                self.routes.push(route);
            }
        }
        Ok(())
    }

    pub(super) fn add_neighbors(&self, neighbors: &[ARPNeighbor]) -> Result<(), Refusal> {
        for neighbor in neighbors {
            let address = neighbor.toIPAddress.get_or_default();
            if address.address.is_empty() || neighbor.lladdr.is_empty() {
                return Err(violation("AddARPNeighbors without an address"));
            }
            if !self.knows(&neighbor.device) {
                let device = &neighbor.device;
                return Err(violation(format!(
                    "AddARPNeighbors over {device:?} before its update"
                )));
            }
        }
        Ok(())
    }
}
