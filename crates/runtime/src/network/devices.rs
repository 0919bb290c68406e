//! What was connected, for the machine.

use virtcontainers_hypervisor::{Carrier, NetworkDeviceHandoff, NetworkDevicePlan};
use virtcontainers_network::{Connection, Nic};

use super::AttachedDevice;

/// Network devices of a machine, and what is handed over with them, in the same order.
pub(crate) type Devices = (Vec<NetworkDevicePlan>, Vec<NetworkDeviceHandoff>);

/// The devices that `attached` are for the machine; both are in the order of their plan.
pub(crate) fn devices(attached: &[AttachedDevice], nics: Vec<Nic>) -> Devices {
    let pairs = attached.iter().zip(nics);
    pairs
        .map(|(attached, nic)| device(&attached.id, nic))
        .unzip()
}

fn device(id: &str, nic: Nic) -> (NetworkDevicePlan, NetworkDeviceHandoff) {
    let plan = NetworkDevicePlan {
        id: id.to_owned(),
        mac: nic.mac,
        mtu: nic.mtu,
        queues: nic.queues,
        carrier: carrier(nic.connection),
    };
    let handoff = NetworkDeviceHandoff {
        id: id.to_owned(),
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
