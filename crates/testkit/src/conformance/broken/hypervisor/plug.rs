//! Network devices that come and go in a way that is wrong.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtcontainers_hypervisor::{
    Error, ErrorKind, Machine, NetworkDeviceHandoff, NetworkDevicePlan,
};
use virtcontainers_types::PciPath;

use super::backend::recast;
use crate::conformance::hypervisor::OF_THE_START;

/// What is remembered of the devices of one handle.
#[derive(Debug, Default)]
pub(super) struct Plugged {
    /// Those that were added.
    added: Mutex<BTreeSet<String>>,
    /// Those whose addition has not ended.
    begun: Mutex<BTreeSet<String>>,
    /// Those that were removed.
    removed: Mutex<BTreeSet<String>>,
}

fn lock(names: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse<T>(kind: ErrorKind) -> Result<T, Error> {
    Err(Error::new(kind, "refused wrongly"))
}

impl Plugged {
    pub(super) async fn add(
        &self,
        inner: &dyn Machine,
        (breaks, adopted): (&str, bool),
        device: &NetworkDevicePlan,
        mut handoff: NetworkDeviceHandoff,
    ) -> Result<Option<PciPath>, Error> {
        let id = device.id.clone();
        let fits = handoff.check(device).is_ok();
        match breaks {
            "an-adopter-adds-and-removes" if adopted => return refuse(ErrorKind::Unsupported),
            "a-removed-device-is-gone" if lock(&self.removed).contains(&id) => {
                return refuse(ErrorKind::AlreadyExists);
            }
            "added-devices-are-handed-over" if !fits => {
                let nowhere = File::open("/dev/null").map_err(|error| {
                    Error::new(ErrorKind::Internal, "there is no /dev/null").with_source(error)
                })?;
                handoff.id.clone_from(&id);
                handoff.descriptors = vec![nowhere.into()];
            }
            _ => {}
        }
        lock(&self.begun).insert(id.clone());
        let added = inner.add_network_device(device, handoff).await;
        if breaks == "a-dropped-addition-is-removed" {
            tokio::task::yield_now().await;
        }
        lock(&self.begun).remove(&id);
        match (breaks, added) {
            ("an-added-device-is-there", Ok(_)) => Ok(PciPath::new(vec![1]).ok()),
            ("a-device-is-added-once", Err(error)) if error.kind() == ErrorKind::AlreadyExists => {
                Ok(None)
            }
            ("added-devices-are-counted", Err(error))
                if error.kind() == ErrorKind::Invalid && fits =>
            {
                Ok(None)
            }
            ("devices-of-what-ended-are-gone", Err(error)) => {
                Err(recast(error, ErrorKind::Gone, ErrorKind::Internal))
            }
            ("hotplug-needs-the-ability", Err(error)) => {
                Err(recast(error, ErrorKind::Unsupported, ErrorKind::Internal))
            }
            (_, added) => {
                lock(&self.added).insert(id);
                added
            }
        }
    }

    pub(super) async fn remove(
        &self,
        inner: &dyn Machine,
        (breaks, adopted): (&str, bool),
        id: &str,
    ) -> Result<(), Error> {
        let may_be_there = adopted || id == OF_THE_START || !lock(&self.added).is_empty();
        match breaks {
            "a-device-of-the-start-is-removed" if id == OF_THE_START => {
                return refuse(ErrorKind::Unsupported);
            }
            "a-removal-of-nothing-succeeds" if !may_be_there => return refuse(ErrorKind::NotFound),
            "a-dropped-addition-is-removed" if lock(&self.begun).contains(id) => return Ok(()),
            _ => {}
        }
        lock(&self.removed).insert(id.to_owned());
        inner.remove_network_device(id).await
    }
}
