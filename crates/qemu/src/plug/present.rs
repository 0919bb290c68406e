//! What network devices a machine has, asked of QEMU's tree of objects: its list of PCI devices shows
//! those behind a bridge only when the guest's firmware has numbered the buses.

use std::collections::BTreeSet;
use std::time::Duration;

use qapi::qmp::{qom_get, qom_list};

use super::NOT_FOUND;
use crate::check::MOST_NETWORK_DEVICES;
use crate::nic;
use crate::qmp::{Failure, Monitor};

/// Where QEMU lists the devices that have a name.
const DEVICES: &str = "/machine/peripheral";

/// What network devices a machine has.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) has_bridge: bool,
    /// Names and slots on the bridge.
    on_bridge: Vec<(String, u8)>,
    /// Names of devices of the host.
    pub(super) passed_through: Vec<String>,
}

impl Present {
    /// Asks QEMU.
    pub(super) async fn ask(monitor: &Monitor, deadline: Duration) -> Result<Self, Failure> {
        let list = qom_list {
            path: DEVICES.to_owned(),
        };
        let emulated = format!("child<{}>", nic::EMULATED);
        let passed_through = format!("child<{}>", nic::PASSED_THROUGH);
        let mut present = Self::default();
        for device in monitor.execute(list, deadline).await? {
            if device.name == nic::BRIDGE {
                present.has_bridge = true;
            } else if device.type_ == passed_through {
                present.passed_through.push(device.name);
            } else if device.type_ == emulated
                && let Some(slot) = slot(monitor, deadline, &device.name).await?
            {
                present.on_bridge.push((device.name, slot));
            }
        }
        Ok(present)
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.sits_on_bridge(id) || self.passed_through.iter().any(|one| one == id)
    }

    pub(super) fn sits_on_bridge(&self, id: &str) -> bool {
        self.on_bridge.iter().any(|(one, _)| one == id)
    }

    /// The first free slot, if there may be one more device.
    pub(super) fn room(&self) -> Option<u8> {
        let count = self.on_bridge.len() + self.passed_through.len();
        if count >= usize::from(MOST_NETWORK_DEVICES) {
            return None;
        }
        let taken: BTreeSet<u8> = self.on_bridge.iter().map(|(_, slot)| *slot).collect();
        nic::SLOTS.into_iter().find(|slot| !taken.contains(slot))
    }
}

/// The slot of a device; none when it has gone meanwhile.
async fn slot(monitor: &Monitor, deadline: Duration, id: &str) -> Result<Option<u8>, Failure> {
    let command = qom_get {
        path: format!("{DEVICES}/{id}"),
        property: "addr".to_owned(),
    };
    match monitor.execute(command, deadline).await {
        // The slot has five bits, the function within it three.
        Ok(address) => {
            let slot = address.as_u64().and_then(|it| u8::try_from(it >> 3).ok());
            let nonsense = || Failure::Corrupt(format!("{address} is no address on a bus"));
            slot.ok_or_else(nonsense).map(Some)
        }
        Err(Failure::Refused { class, .. }) if class == NOT_FOUND => Ok(None),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slot_that_is_free() {
        let present = |slots: &[u8], passed_through: usize| Present {
            has_bridge: true,
            on_bridge: slots
                .iter()
                .map(|slot| (format!("nic{slot}"), *slot))
                .collect(),
            passed_through: vec!["nic99".to_owned(); passed_through],
        };
        let all: Vec<u8> = (1..=31).collect();
        let rows = [
            (present(&[], 0), Some(1)),
            (present(&[1, 2], 0), Some(3)),
            (present(&[2, 4], 3), Some(1)),
            (present(&all[1..], 0), Some(1)),
            (present(&all[..30], 0), Some(31)),
            (present(&all, 0), None),
            // There are slots, but no more devices than were promised.
            (present(&all[..30], 1), None),
        ];
        for (present, expected) in rows {
            assert_eq!(present.room(), expected, "{present:?}");
        }
        assert!(present(&[], 1).has("nic99") && present(&[7], 0).has("nic7"));
        assert!(!present(&[7], 1).sits_on_bridge("nic99"));
    }
}
