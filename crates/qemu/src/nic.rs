//! The parts of a network device in QEMU, the same whether it is on the command line or plugged in
//! while the machine runs.
//!
//! All devices that QEMU emulates sit on one bridge, which every machine has: a bus on which Linux
//! takes and releases devices at any time (ACPI hot-plug, QEMU 6.1 and later). So those of the start
//! can be unplugged too, and where one sits does not depend on what else the machine has.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use virtcontainers_hypervisor::{Carrier, Error, ErrorKind, NetworkDevicePlan};
use virtcontainers_types::PciPath;

use crate::host::Accelerator;

/// The driver of the bridge.
pub(crate) const BRIDGE_DRIVER: &str = "pcie-pci-bridge";
/// Its name, and that of its bus.
pub(crate) const BRIDGE: &str = "hot";
/// Its slot on the root bus: the last before the chipset's own, so that others can be numbered from
/// the first on.
pub(crate) const BRIDGE_SLOT: u8 = 0x1e;
/// The slots on its bus. The first is its own hot-plug controller's.
pub(crate) const SLOTS: RangeInclusive<u8> = 1..=31;

/// The driver of a device that QEMU emulates.
pub(crate) const EMULATED: &str = "virtio-net-pci";
/// The driver of a device of the host.
pub(crate) const PASSED_THROUGH: &str = "vfio-pci";

/// The name of what carries a device's frames.
pub(crate) fn netdev(id: &str) -> String {
    format!("{id}-net")
}

/// The name of the connection to a user-space switch.
pub(crate) fn chardev(id: &str) -> String {
    format!("{id}-socket")
}

/// Where the guest finds the device in this slot of the bridge.
pub(crate) fn path(slot: u8) -> Result<PciPath, Error> {
    PciPath::new(vec![BRIDGE_SLOT, slot]).map_err(|error| {
        let message = format!("slot {slot} is none of the bridge");
        Error::new(ErrorKind::Internal, message).with_source(error)
    })
}

/// All devices but those of the host sit on the bridge.
pub(crate) const fn sits_on_bridge(device: &NetworkDevicePlan) -> bool {
    match device.carrier {
        Carrier::Tap | Carrier::VhostUser { .. } => true,
        Carrier::Vfio { .. } => false,
    }
}

/// The properties of an emulated device in this slot, but for its driver and name. The types are
/// those of QEMU's own, which newer versions insist on.
pub(crate) fn properties(
    device: &NetworkDevicePlan,
    slot: u8,
    accelerator: Accelerator,
) -> Vec<(&'static str, Value)> {
    let mut properties = vec![
        ("bus", json!(BRIDGE)),
        ("addr", json!(format!("{slot:#04x}"))),
        ("netdev", json!(netdev(&device.id))),
        ("mac", json!(device.mac.to_string())),
        ("host_mtu", json!(device.mtu)),
    ];
    if device.queues > 1 {
        properties.push(("mq", json!(true)));
    }
    if let Some(vectors) = vectors(device, accelerator) {
        properties.push(("vectors", json!(vectors)));
    }
    // A bus like this one would bring the ports of virtio before 1.0 along, for which the bridge has
    // little room; and no boot program, which no guest of ours runs.
    properties.extend([("disable-legacy", json!("on")), ("romfile", json!(""))]);
    properties
}

/// How many message interrupts the device has; as many as QEMU gives it when not said.
fn vectors(device: &NetworkDevicePlan, accelerator: Accelerator) -> Option<u32> {
    match (&device.carrier, accelerator) {
        // When a guest masks such an interrupt of a vhost-user network device, QEMU takes for granted
        // that KVM delivers it, and crashes where it does not (7.2). A line works for all queues.
        (Carrier::VhostUser { .. }, Accelerator::Tcg) => Some(0),
        // One for each queue, one for the control queue, one for changes of configuration.
        _ if device.queues > 1 => Some(2 * u32::from(device.queues) + 2),
        _ => None,
    }
}
