//! Network devices as arguments.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

use serde_json::Value;
use virtcontainers_hypervisor::{Carrier, NetworkDevicePlan};

use super::{Args, NetworkDescriptors, escaped};
use crate::host::Accelerator;
use crate::nic;

/// The bridge, and on it the devices in their order from its first slot on.
pub(super) fn render(
    args: &mut Args,
    devices: &[NetworkDevicePlan],
    descriptors: &[NetworkDescriptors],
    accelerator: Accelerator,
) {
    let (driver, id, slot) = (nic::BRIDGE_DRIVER, nic::BRIDGE, nic::BRIDGE_SLOT);
    args.option("-device", format!("{driver},id={id},addr={slot:#04x}"));
    let mut slots = nic::SLOTS;
    for (device, descriptors) in devices.iter().zip(descriptors) {
        match &device.carrier {
            Carrier::Tap => args.option("-netdev", tap(device, descriptors)),
            Carrier::VhostUser { socket } => vhost_user(args, device, socket),
            Carrier::Vfio { address } => {
                let (driver, id) = (nic::PASSED_THROUGH, &device.id);
                let place = format!("{driver},id={id},host={address},bus=pcie.0");
                args.option("-device", place);
                continue;
            }
        }
        // There are no more devices than slots: that was checked.
        if let Some(slot) = slots.next() {
            args.option("-device", emulated(device, slot, accelerator));
        }
    }
}

/// A tap or macvtap that we opened, so that no script runs.
fn tap(device: &NetworkDevicePlan, descriptors: &NetworkDescriptors) -> String {
    let netdev = nic::netdev(&device.id);
    let taps = list(&descriptors.taps);
    let vhost = list(&descriptors.vhost);
    match (device.queues > 1, descriptors.vhost.is_empty()) {
        (false, true) => format!("tap,id={netdev},fd={taps}"),
        (false, false) => format!("tap,id={netdev},fd={taps},vhost=on,vhostfd={vhost}"),
        (true, true) => format!("tap,id={netdev},fds={taps}"),
        (true, false) => format!("tap,id={netdev},fds={taps},vhost=on,vhostfds={vhost}"),
    }
}

/// QEMU is the client, once; a switch that goes away takes the link down.
fn vhost_user(args: &mut Args, device: &NetworkDevicePlan, socket: &Path) {
    let (netdev, chardev) = (nic::netdev(&device.id), nic::chardev(&device.id));
    let mut connection = OsString::from(format!("socket,id={chardev},path="));
    connection.push(escaped(socket));
    args.option("-chardev", connection);
    let queues = device.queues;
    let carrier = format!("vhost-user,id={netdev},chardev={chardev},queues={queues}");
    args.option("-netdev", carrier);
}

fn emulated(device: &NetworkDevicePlan, slot: u8, accelerator: Accelerator) -> String {
    let mut text = format!("{},id={}", nic::EMULATED, device.id);
    for (name, value) in nic::properties(device, slot, accelerator) {
        let value = match value {
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        text += &format!(",{name}={value}");
    }
    text
}

/// Descriptors as QEMU lists them.
fn list(descriptors: &[RawFd]) -> String {
    let numbers: Vec<_> = descriptors.iter().map(RawFd::to_string).collect();
    numbers.join(":")
}
