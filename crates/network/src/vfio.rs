//! Giving a PCI device to a machine, by vfio-pci, and back to the driver that had it
//! (`Documentation/driver-api/vfio.rst` of the kernel).
//!
//! The interface goes with the driver. When the driver has the device again, the kernel makes a new
//! one, in the host's first namespace and by a name of its choice; [`restore`](crate::restore) brings
//! it back.

use std::collections::BTreeSet;
use std::io;

use crate::effect::Effect;
use crate::plan::{Connection, Endpoint, Plan};
use crate::restore::bring_back;
use crate::sysfs::{Sysfs, VFIO};
use crate::{Error, ErrorKind, Namespace, plan};

#[cfg(test)]
mod tests;

/// That the devices of a plan are still as they were seen, and no machine's yet.
///
/// Errors: `WrongState` when they are not; those of [`plan`](crate::plan).
pub(crate) fn as_seen(plan: &Plan, sysfs: &Sysfs<'_>) -> Result<(), Error> {
    let address = |endpoint: &Endpoint| match &endpoint.connection {
        Connection::Vfio { address } => Some(address.clone()),
        _ => None,
    };
    let all: Vec<_> = plan.endpoints.iter().filter_map(address).collect();
    let given: BTreeSet<_> = all.iter().map(String::as_str).collect();
    for endpoint in &plan.endpoints {
        let Some(address) = address(endpoint) else {
            continue;
        };
        let now = sysfs.look(&address);
        let now = now.map_err(|source| Error::link("look at the device", &address, source))?;
        plan::physical::check(&endpoint.name, &now, &given)?;
        let same = endpoint.effects.iter().all(|effect| match effect {
            Effect::TakeDevice { driver, .. } => *driver == now.driver,
            Effect::ReserveDevice { before, .. } => *before == now.driver_override,
            _ => true,
        });
        if !same {
            let message = format!(
                "the device {address} of the interface {} has another driver since: scan it again",
                endpoint.name
            );
            return Err(Error::new(ErrorKind::WrongState, message));
        }
    }
    Ok(())
}

/// Makes one change of a device; nothing for changes of other things.
pub(crate) fn carry_out(effect: &Effect, sysfs: &Sysfs<'_>) -> io::Result<()> {
    match effect {
        Effect::TakeDevice {
            device,
            driver: Some(driver),
            ..
        } => sysfs.unbind(device, driver),
        Effect::ReserveDevice { device, .. } => sysfs.set_override(device, Some(VFIO)),
        Effect::GiveDevice { device } => {
            sysfs.probe(device)?;
            match sysfs.driver(device)?.as_deref() {
                Some(VFIO) => Ok(()),
                _ => Err(io::Error::other(
                    "vfio-pci does not take it; the kernel's log says why",
                )),
            }
        }
        _ => Ok(()),
    }
}

/// Takes a change of a device back, whether it happened or not. The namespace is the one that the
/// interface was in, if it is still there.
pub(crate) fn take_back(
    effect: &Effect,
    sysfs: &Sysfs<'_>,
    namespace: Option<&Namespace>,
) -> Result<(), Error> {
    let failed = |source: io::Error| {
        let verb = format!("take back to {}", effect.verb());
        Error::link(&verb, effect.target(), source)
    };
    match effect {
        Effect::GiveDevice { device } => match sysfs.driver(device).map_err(failed)?.as_deref() {
            Some(VFIO) => sysfs.unbind(device, VFIO).map_err(failed),
            _ => Ok(()),
        },
        Effect::ReserveDevice { device, before } => {
            let now = sysfs.driver_override(device).map_err(failed)?;
            // Anything else is what somebody made of it since.
            match now.as_deref() == Some(VFIO) && now != *before {
                true => sysfs
                    .set_override(device, before.as_deref())
                    .map_err(failed),
                false => Ok(()),
            }
        }
        Effect::TakeDevice {
            device,
            driver: Some(driver),
            interface,
        } => {
            let now = sysfs.driver(device).map_err(failed)?;
            if now.is_none() {
                sysfs.bind(device, driver).map_err(|source| {
                    let next = match source.kind() {
                        io::ErrorKind::NotFound => format!("; load it with `modprobe {driver}`"),
                        _ => String::new(),
                    };
                    let message = format!(
                        "cannot give the device {device} back to the driver {driver}{next}"
                    );
                    Error::new(ErrorKind::Internal, message).with_source(source)
                })?;
            }
            // Whoever has it else has it from somebody else.
            match namespace.filter(|_| now.is_none_or(|now| now == *driver)) {
                Some(namespace) => bring_back(device, interface, namespace),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
