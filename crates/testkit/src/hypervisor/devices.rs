//! The network devices of a fake machine.

use virtcontainers_hypervisor::{Error, ErrorKind, NetworkDevicePlan};
use virtcontainers_types::PciPath;

use super::power::lacks;

/// Which devices a machine has, each in the slot of its only bus where it was put first.
#[derive(Debug, Default)]
pub(super) struct NetworkDevices(Vec<(u8, NetworkDevicePlan)>);

impl NetworkDevices {
    /// Those of the start, from slot 1 on.
    pub(super) fn new(planned: &[NetworkDevicePlan]) -> Self {
        Self((1..).zip(planned.iter().cloned()).collect())
    }

    pub(super) fn list(&self) -> Vec<NetworkDevicePlan> {
        self.0.iter().map(|(_, device)| device.clone()).collect()
    }

    /// Adds one; gives its place.
    ///
    /// Errors: `AlreadyExists`, `Invalid` when there is no room.
    pub(super) fn add(&mut self, device: &NetworkDevicePlan, most: u8) -> Result<PciPath, Error> {
        if self.0.iter().any(|(_, known)| known.id == device.id) {
            let message = format!("the machine has a network device {} already", device.id);
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let is_free = |slot: &u8| self.0.iter().all(|(taken, _)| taken != slot);
        let slot = (1..=most).find(is_free).ok_or_else(|| {
            let message = format!("the machine has {most} network devices, and room for no more");
            Error::new(ErrorKind::Invalid, message)
        })?;
        let path = PciPath::new(vec![slot]).map_err(|error| {
            let message = format!("there is no slot {slot} for a network device");
            Error::new(ErrorKind::Invalid, message).with_source(error)
        })?;
        self.0.push((slot, device.clone()));
        Ok(path)
    }

    /// Takes one away, if it is there.
    pub(super) fn remove(&mut self, id: &str) -> Option<NetworkDevicePlan> {
        let found = self.0.iter().position(|(_, known)| known.id == id)?;
        Some(self.0.remove(found).1)
    }
}

/// The refusal of a backend without the ability.
pub(super) fn unable() -> Error {
    lacks("change the network devices of a running machine")
}

/// The refusal of a guest whose CPUs are halted.
pub(super) fn kept(id: &str) -> Error {
    let message = format!("the guest does not let the network device {id} go: it is paused");
    Error::new(ErrorKind::Timeout, message)
}
