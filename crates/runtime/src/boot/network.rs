//! The network of the machine: what is in its namespace becomes its own.

use std::num::NonZeroU16;

use virtcontainers_agent::AgentPort;
use virtcontainers_hypervisor::{Carrier, NetworkDeviceHandoff, NetworkDevicePlan};
use virtcontainers_network::{self as network, Config, Connection, Guest, Nic};
use virtcontainers_types::VcpuCount;

use super::Job;
use super::share::Shared;
use crate::error::{Context, Error};
use crate::guest_network;

/// More queues than the kernel gives to one tap (`MAX_TAP_QUEUES`).
const MOST_QUEUES: u16 = 256;

/// What the machine and its guest get of the namespace; nothing when there is nothing in it.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// For the machine's plan.
    pub(super) devices: Vec<NetworkDevicePlan>,
    /// For the machine, in the same order.
    pub(super) handoffs: Vec<NetworkDeviceHandoff>,
    /// For the guest's agent.
    pub(super) guest: Guest,
}

impl Shared {
    /// Connects the interfaces that are in the namespace now. Blocks for some milliseconds for each.
    pub(super) fn connect_network(mut self, job: Job<'_>) -> Result<Self, Error> {
        let Some(namespace) = &self.namespace else {
            return Ok(self);
        };
        let id = &job.config.id;
        let config = Config {
            // A queue for each CPU, so that none waits for another's.
            queues: queues(job.config.vcpus),
            max_interfaces: job.host.backend.capabilities().network_devices.into(),
            ..Config::default()
        };
        let connected = network::scan(namespace)
            .and_then(|view| network::plan(&view, &config))
            .and_then(|plan| {
                for note in &plan.notes {
                    tracing::warn!(sandbox = %id, note, "the guest's network differs");
                }
                network::apply(&plan, namespace, job.ledger)
            });
        let connected =
            connected.during(|| format!("cannot connect the network of sandbox {id}"))?;
        let numbered = (0_u32..).zip(connected.for_machine);
        let (devices, handoffs) = numbered.map(|(number, nic)| device(number, nic)).unzip();
        self.network = Network {
            devices,
            handoffs,
            guest: connected.for_guest,
        };
        Ok(self)
    }
}

fn queues(vcpus: VcpuCount) -> NonZeroU16 {
    let count = u16::try_from(vcpus.count()).unwrap_or(MOST_QUEUES);
    NonZeroU16::new(count.min(MOST_QUEUES)).unwrap_or(NonZeroU16::MIN)
}

fn device(number: u32, nic: Nic) -> (NetworkDevicePlan, NetworkDeviceHandoff) {
    let id = format!("net{number}");
    let plan = NetworkDevicePlan {
        id: id.clone(),
        mac: nic.mac,
        mtu: nic.mtu,
        queues: nic.queues,
        carrier: carrier(nic.connection),
    };
    let handoff = NetworkDeviceHandoff {
        id,
        descriptors: nic.descriptors,
        vhost: nic.vhost,
    };
    (plan, handoff)
}

fn carrier(connection: Connection) -> Carrier {
    match connection {
        Connection::Tap { .. } | Connection::MacVtap { .. } => Carrier::Tap,
        Connection::Vfio { address } => Carrier::Vfio { address },
        Connection::VhostUser { socket } => Carrier::VhostUser { socket },
    }
}

/// Has the guest's agent give the interfaces their names and addresses, then routes and neighbours.
pub(super) async fn set_up(agent: &dyn AgentPort, guest: Guest) -> Result<(), Error> {
    let failed = || "the guest cannot set up its network".to_owned();
    let Guest {
        interfaces,
        routes,
        neighbors,
    } = guest;
    for interface in interfaces {
        let name = interface.name.clone();
        let wanted = guest_network::interface_to_guest(interface);
        let updated = agent.update_interface(wanted).await;
        updated.during(|| format!("the guest cannot set up the interface {name}"))?;
    }
    if !routes.is_empty() {
        let routes = guest_network::to_guest(routes);
        agent.update_routes(routes).await.during(failed)?;
    }
    if !neighbors.is_empty() {
        let neighbors = guest_network::neighbors_to_guest(neighbors);
        agent.add_arp_neighbors(neighbors).await.during(failed)?;
    }
    Ok(())
}
