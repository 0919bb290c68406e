//! Devices of the host that a machine is given: whether that can be, and the changes.

use std::collections::BTreeSet;

use super::select::Chosen;
use super::{Connection, EndpointKind};
use crate::effect::Effect;
use crate::restore::Former;
use crate::sysfs::VFIO;
use crate::view::{GroupMember, PciDevice};
use crate::{Error, ErrorKind, View};

/// Drivers that leave a device to machines (`vfio_dev_driver_allowed` in drivers/vfio).
const HARMLESS: [&str; 2] = [VFIO, "pci-stub"];

/// The changes that give the device of an interface to a machine, beside the devices of others.
pub(super) fn connect(
    view: &View,
    chosen: &Chosen<'_>,
    all: &[Chosen<'_>],
    notes: &mut Vec<String>,
) -> Result<(Connection, Vec<Effect>), Error> {
    let name = &chosen.link.name;
    let known = chosen.link.device.as_ref();
    let known = known.and_then(|device| Some((device.name.clone(), device.pci.as_ref()?)));
    let Some((address, pci)) = known else {
        let message = format!(
            "cannot give the interface {name} to the machine: sysfs does not tell of its device"
        );
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    let given = all.iter().filter(|one| one.kind == EndpointKind::Physical);
    let given = given.filter_map(|one| one.link.device.as_ref());
    check(name, pci, &given.map(|device| &*device.name).collect())?;
    let former = Former::of(view, chosen.link, notes);
    let effects = vec![
        Effect::TakeDevice {
            device: address.clone(),
            driver: pci.driver.clone(),
            interface: Box::new(former),
        },
        Effect::ReserveDevice {
            device: address.clone(),
            before: pci.driver_override.clone(),
        },
        Effect::GiveDevice {
            device: address.clone(),
        },
    ];
    Ok((Connection::Vfio { address }, effects))
}

/// Refuses a device that no machine can be given; `given` are the addresses of those that one is.
pub(crate) fn check(name: &str, pci: &PciDevice, given: &BTreeSet<&str>) -> Result<(), Error> {
    let refuse = |kind, why: &str| {
        let message = format!("cannot give the interface {name} to the machine: {why}");
        Err(Error::new(kind, message))
    };
    if !pci.vfio {
        let why = "the host has no driver vfio-pci; load it with `modprobe vfio-pci`";
        return refuse(ErrorKind::Unsupported, why);
    }
    let Some(group) = &pci.group else {
        let why = "the IOMMU is off; turn it on in the firmware, and with intel_iommu=on on the \
                   kernel's command line where that is needed";
        return refuse(ErrorKind::Unsupported, why);
    };
    let is_in_use = |member: &&GroupMember| {
        let driver = member.driver.as_deref();
        !member.bridge
            && !given.contains(&*member.address)
            && driver.is_some_and(|driver| !HARMLESS.contains(&driver))
    };
    match group.iter().find(is_in_use) {
        None => Ok(()),
        Some(GroupMember {
            address, driver, ..
        }) => {
            let driver = driver.as_deref().unwrap_or_default();
            let why = format!(
                "its IOMMU group has the device {address} too, which the host's driver {driver} \
                 uses; take it away with `echo {address} > /sys/bus/pci/drivers/{driver}/unbind`, or \
                 put the card into another slot"
            );
            refuse(ErrorKind::Busy, &why)
        }
    }
}
