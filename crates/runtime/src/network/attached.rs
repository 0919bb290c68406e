//! What a machine has of its namespace, as it is kept with the sandbox.

use serde::{Deserialize, Serialize};
use virtcontainers_network::{Connection, Endpoint, NamespaceId, Plan, Skipped, View};
use virtcontainers_store::{Blob, Record};
use virtcontainers_types::{
    ConnectedInterface, Interface, MacAddress, NetworkStatus, Route, SandboxId, SkippedInterface,
    UndoEntry,
};

use crate::error::{Context, Error, ErrorKind};

/// The version of the blob.
const VERSION: u32 = 1;

/// The interfaces that a machine has, and what was said about the others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Attached {
    pub(crate) devices: Vec<AttachedDevice>,
    skipped: Vec<Skipped>,
    /// The links that were taken from the machine and are there still: nothing connects them again
    /// but a caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Skipped>,
    notes: Vec<String>,
}

/// An interface of the namespace that the machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachedDevice {
    /// Its name in the machine.
    pub(crate) id: String,
    pub(crate) namespace: NamespaceId,
    pub(crate) endpoint: Endpoint,
    /// As the guest has it.
    pub(crate) interface: Interface,
    /// The guest's routes through it.
    pub(crate) routes: Vec<Route>,
}

impl Attached {
    /// What the record tells; nothing when no network was connected.
    pub(crate) fn of(record: &Record) -> Result<Self, Error> {
        Self::read(record.id(), record.network.as_ref())
    }

    /// What was stored of a sandbox's network.
    pub(crate) fn read(id: &SandboxId, blob: Option<&Blob>) -> Result<Self, Error> {
        let Some(blob) = blob else {
            return Ok(Self::default());
        };
        let failed = || format!("cannot read the network of sandbox {id}");
        if blob.version != VERSION {
            let message = format!("{}: version {} is not known", failed(), blob.version);
            return Err(Error::new(ErrorKind::Incompatible, message));
        }
        Self::deserialize(&blob.data)
            .map_err(|error| Error::new(ErrorKind::Corrupt, failed()).because(error))
    }

    /// For the record.
    pub(crate) fn to_blob(&self) -> Result<Blob, Error> {
        let data = serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot describe the network").because(error)
        })?;
        Ok(Blob {
            version: VERSION,
            data,
        })
    }

    /// The names in the namespace of the interfaces that the machine has.
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(|device| &*device.endpoint.name)
    }

    /// The names that the next devices of the machine get: numbers that are free.
    pub(crate) fn free_ids(&self) -> impl Iterator<Item = String> {
        let taken = |id: &String| self.devices.iter().any(|device| device.id == *id);
        (0_u32..)
            .map(|number| format!("net{number}"))
            .filter(move |id| !taken(id))
    }

    /// The devices that a plan makes, by the names that are free.
    pub(crate) fn planned(&self, plan: &Plan) -> Vec<AttachedDevice> {
        let endpoints = plan.endpoints.iter().zip(&plan.guest.interfaces);
        let described = endpoints.zip(self.free_ids());
        described
            .map(|((endpoint, interface), id)| AttachedDevice {
                id,
                namespace: plan.namespace.clone(),
                endpoint: endpoint.clone(),
                routes: routes_through(&plan.guest.routes, &interface.name),
                interface: interface.clone(),
            })
            .collect()
    }

    /// The device with this hardware address.
    pub(crate) fn with_address(&self, address: MacAddress) -> Option<&AttachedDevice> {
        let mut devices = self.devices.iter();
        devices.find(|device| device.endpoint.mac == address)
    }

    /// The devices whose link is not in the namespace any more.
    pub(crate) fn vanished(&self, view: &View) -> Vec<AttachedDevice> {
        let there = |device: &&AttachedDevice| {
            let mut links = view.links.iter();
            links.any(|link| link.index == device.endpoint.index)
        };
        let vanished = self.devices.iter().filter(|device| !there(device));
        vanished.cloned().collect()
    }

    /// What is left without a device, whose link has gone.
    pub(crate) fn without(mut self, gone: &AttachedDevice) -> Self {
        self.devices.retain(|device| device.id != gone.id);
        // What was said of it is not so any more.
        let name = gone.endpoint.name.as_str();
        self.notes
            .retain(|note| !note.split(' ').any(|word| word == name));
        self
    }

    /// What is left without a device, whose link stays.
    pub(crate) fn apart_from(self, removed: &AttachedDevice) -> Self {
        let mut left = self.without(removed);
        left.removed.push(Skipped {
            index: removed.endpoint.index,
            name: removed.endpoint.name.clone(),
            reason: "was taken from the machine".to_owned(),
        });
        left
    }

    /// What of a view may be connected without being asked for.
    pub(crate) fn open_to(&self, view: View) -> View {
        let removed: Vec<u32> = self.removed.iter().map(|removed| removed.index).collect();
        view.without(&removed)
    }

    /// Whether the machine has no interface.
    pub(crate) const fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Takes over what a plan says besides; about the interfaces that are not connected only when it
    /// is for the `whole` namespace.
    pub(crate) fn say(&mut self, plan: Plan, whole: bool) {
        if whole {
            self.skipped = plan.skipped;
        }
        let connected = |link: &str| {
            self.devices
                .iter()
                .any(|device| device.endpoint.name == link)
        };
        self.skipped.retain(|skipped| !connected(&skipped.name));
        self.removed.retain(|removed| !connected(&removed.name));
        for note in plan.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// For callers.
    pub(crate) fn status(&self) -> NetworkStatus {
        let interfaces = self.devices.iter().map(|device| ConnectedInterface {
            link: device.endpoint.name.clone(),
            kind: device.endpoint.kind.to_string(),
            carrier: carrier(&device.endpoint.connection).to_owned(),
            device: device.id.clone(),
            interface: device.interface.clone(),
        });
        let skipped = self.skipped.iter().chain(&self.removed);
        let skipped = skipped.map(|skipped| SkippedInterface {
            link: skipped.name.clone(),
            reason: skipped.reason.clone(),
        });
        NetworkStatus {
            interfaces: interfaces.collect(),
            skipped: skipped.collect(),
            notes: self.notes.clone(),
        }
    }
}

impl AttachedDevice {
    /// The entries of the ledger by which it was connected, in their order.
    pub(crate) fn undo_entries(&self) -> Result<Vec<UndoEntry>, Error> {
        self.endpoint
            .undo_entries(&self.namespace)
            .during(|| format!("cannot describe the interface {}", self.endpoint.name))
    }
}

/// The routes through one interface of the guest.
fn routes_through(routes: &[Route], interface: &str) -> Vec<Route> {
    let through = routes.iter().filter(|route| route.device == interface);
    through.cloned().collect()
}

const fn carrier(connection: &Connection) -> &'static str {
    match connection {
        Connection::Tap { .. } => "tap",
        Connection::MacVtap { .. } => "macvtap",
        Connection::Vfio { .. } => "vfio",
        Connection::VhostUser { .. } => "vhost-user",
    }
}
