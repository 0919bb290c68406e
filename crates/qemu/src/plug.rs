//! Network devices of a machine that runs.
//!
//! Nothing is remembered here: what a machine has is asked of QEMU each time, because another process
//! may have changed it. A device is made of up to four parts, made in this order and taken away in
//! the opposite one: descriptors that QEMU was given, the connection to a switch, what carries the
//! frames, and what the guest sees. Whatever was left half done, by whomever, is cleared by the name.

mod present;

use std::os::fd::OwnedFd;
use std::time::Duration;

use qapi::qmp::{
    ChardevBackend, ChardevCommon, ChardevSocket, Event, Netdev, NetdevTapOptions,
    NetdevVhostUserOptions, SocketAddressLegacy, UnixSocketAddress, chardev_add, chardev_remove,
    closefd, device_add, device_del, netdev_add, netdev_del, query_chardev, query_kvm,
    query_status,
};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use virtcontainers_hypervisor::{
    Carrier, Error, ErrorKind, NetworkDeviceHandoff, NetworkDevicePlan,
};
use virtcontainers_types::PciPath;

use crate::check::MOST_NETWORK_DEVICES;
use crate::error::of_monitor;
use crate::host::Accelerator;
use crate::nic;
use crate::qmp::{Failure, Monitor};
use present::Present;

/// QEMU's class of refusals for a name that nothing has.
const NOT_FOUND: &str = "DeviceNotFound";

/// One operation on the devices of a machine.
#[derive(Debug)]
pub(crate) struct Plug<'a> {
    /// The connection, for all commands: descriptors are known on the one only that brought them.
    pub(crate) monitor: &'a Monitor,
    /// How long one command may take, and the guest to let go.
    pub(crate) deadline: Duration,
}

impl Plug<'_> {
    /// Adds a device. What is left when the future is dropped, [`remove`](Self::remove) takes away.
    pub(crate) async fn add(
        &self,
        device: &NetworkDevicePlan,
        handoff: NetworkDeviceHandoff,
    ) -> Result<PciPath, Error> {
        let id = &device.id;
        let failed = |failure| of_monitor(format!("cannot add the network device {id}"), failure);
        let present = self.present().await.map_err(failed)?;
        if !present.has_bridge {
            return Err(no_bridge());
        }
        if present.has(id) {
            let message = format!("the machine has a network device {id} already");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let slot = present.room().ok_or_else(|| {
            let message = format!(
                "there is no room for the network device {id}: the machine has \
                 {MOST_NETWORK_DEVICES}, remove one first"
            );
            Error::new(ErrorKind::Invalid, message)
        })?;
        let path = nic::path(slot)?;
        // What an addition that was given up has left would be in the way.
        self.clear(id).await.map_err(failed)?;
        let Err(failure) = self.build(device, handoff, slot).await else {
            return Ok(path);
        };
        if let Err(error) = self.clear(id).await {
            tracing::warn!(%error, id, "a part of a network device is left");
        }
        Err(failed(failure))
    }

    /// Takes a device away, or what there is of it.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Error> {
        let operation = || format!("cannot remove the network device {id}");
        let failed = |failure| of_monitor(operation(), failure);
        // Before anything is asked, so that no end of the device can be missed.
        let mut events = self.monitor.events().ok_or_else(ended)?;
        let present = self.present().await.map_err(failed)?;
        if present.passed_through.iter().any(|one| one == id) {
            let message = format!("{}: it is a device of the host", operation());
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if present.sits_on_bridge(id) {
            self.unplug(id, &mut events).await?;
        }
        self.clear(id).await.map_err(failed)
    }

    async fn build(
        &self,
        device: &NetworkDevicePlan,
        handoff: NetworkDeviceHandoff,
        slot: u8,
    ) -> Result<(), Failure> {
        let (id, queues) = (&device.id, device.queues);
        let carrier = match &device.carrier {
            Carrier::Tap => {
                let taps = self.pass(id, Kind::Tap, handoff.descriptors).await?;
                let vhost = self.pass(id, Kind::Vhost, handoff.vhost).await?;
                let tap = NetdevTapOptions {
                    fds: taps,
                    vhost: vhost.as_ref().map(|_| true),
                    vhostfds: vhost,
                    ..NetdevTapOptions::default()
                };
                let id = nic::netdev(id);
                Netdev::tap { id, tap }
            }
            Carrier::VhostUser { socket } => {
                let chardev = nic::chardev(id);
                let path = socket.display().to_string();
                self.run(connection(&chardev, path)).await?;
                let vhost_user = NetdevVhostUserOptions {
                    chardev,
                    queues: Some(i64::from(queues)),
                    vhostforce: None,
                };
                let id = nic::netdev(id);
                Netdev::vhost_user { id, vhost_user }
            }
            // Refused before.
            Carrier::Vfio { .. } => return Ok(()),
        };
        self.run(netdev_add(carrier)).await?;
        let kvm = self.monitor.execute(query_kvm {}, self.deadline).await?;
        let accelerator = match kvm.enabled {
            true => Accelerator::Kvm,
            false => Accelerator::Tcg,
        };
        let mut arguments = qapi::Dictionary::new();
        let mut bus = None;
        for (name, value) in nic::properties(device, slot, accelerator) {
            match name {
                "bus" => bus = value.as_str().map(str::to_owned),
                _ => drop(arguments.insert(name.to_owned(), value)),
            }
        }
        let device = device_add {
            bus,
            id: Some(id.clone()),
            driver: nic::EMULATED.to_owned(),
            arguments,
        };
        self.run(device).await
    }

    /// Passes descriptors; gives their names in the form in which QEMU takes them from us.
    ///
    /// They are passed from the first to the last and named from the last to the first, in which order
    /// QEMU takes them: so those that are left, whatever fails when, are always the first few.
    async fn pass(
        &self,
        id: &str,
        kind: Kind,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Option<String>, Failure> {
        let mut names = Vec::new();
        for (number, descriptor) in descriptors.into_iter().enumerate() {
            let name = kind.name(id, number);
            let passing = self.monitor.pass(name.clone(), descriptor, self.deadline);
            passing.await?;
            names.push(name);
        }
        names.reverse();
        Ok((!names.is_empty()).then(|| names.join(":")))
    }

    /// Asks the guest to let a device go, and waits until it has.
    async fn unplug(&self, id: &str, events: &mut Receiver<Event>) -> Result<(), Error> {
        let failed =
            |failure| of_monitor(format!("cannot remove the network device {id}"), failure);
        let command = device_del { id: id.to_owned() };
        let refusal = match self.run(command).await {
            Ok(()) => None,
            Err(Failure::Refused { class, .. }) if class == NOT_FOUND => return Ok(()),
            // The guest was asked before, by us or by another process, and still has it.
            Err(refusal @ Failure::Refused { .. }) => Some(refusal),
            Err(failure) => return Err(failed(failure)),
        };
        let gone = tokio::time::timeout(self.deadline, self.until_gone(id, events));
        if let Ok(gone) = gone.await {
            return gone;
        }
        let status = self.monitor.execute(query_status {}, self.deadline).await;
        let remedy = match status.map_err(failed)?.running {
            false => "the machine is paused: resume it and try again",
            true => "its kernel may not be up yet: try again later",
        };
        let message = format!(
            "cannot remove the network device {id}: the guest has not let it go within {} ms, and \
             has it still; {remedy}",
            self.deadline.as_millis()
        );
        let error = Error::new(ErrorKind::Timeout, message);
        Err(match refusal {
            Some(refusal) => error.with_source(refusal),
            None => error,
        })
    }

    async fn until_gone(&self, id: &str, events: &mut Receiver<Event>) -> Result<(), Error> {
        loop {
            match events.recv().await {
                Ok(Event::DEVICE_DELETED { data, .. }) if data.device.as_deref() == Some(id) => {
                    return Ok(());
                }
                Ok(_) => {}
                // It may have been among those that were lost.
                Err(RecvError::Lagged(_)) => {
                    let present = self.present().await;
                    let failed = |failure| of_monitor("cannot ask for devices", failure);
                    if !present.map_err(failed)?.sits_on_bridge(id) {
                        return Ok(());
                    }
                }
                Err(RecvError::Closed) => return Err(ended()),
            }
        }
    }

    /// Takes away all but what the guest sees, as far as it is there.
    async fn clear(&self, id: &str) -> Result<(), Failure> {
        let command = netdev_del {
            id: nic::netdev(id),
        };
        match self.run(command).await {
            Ok(()) => {}
            Err(Failure::Refused { class, .. }) if class == NOT_FOUND => {}
            Err(failure) => return Err(failure),
        }
        let chardev = nic::chardev(id);
        let chardevs = self
            .monitor
            .execute(query_chardev {}, self.deadline)
            .await?;
        if chardevs.iter().any(|one| one.label == chardev) {
            self.run(chardev_remove { id: chardev }).await?;
        }
        for kind in [Kind::Tap, Kind::Vhost] {
            for number in 0.. {
                let fdname = kind.name(id, number);
                match self.run(closefd { fdname }).await {
                    Ok(()) => {}
                    // There is none of this name, and so none after it.
                    Err(Failure::Refused { .. }) => break,
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(())
    }

    async fn present(&self) -> Result<Present, Failure> {
        Present::ask(self.monitor, self.deadline).await
    }

    async fn run<C: qapi::Command>(&self, command: C) -> Result<(), Failure> {
        self.monitor.execute(command, self.deadline).await.map(drop)
    }
}

/// What a descriptor that QEMU was given is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Tap,
    Vhost,
}

impl Kind {
    fn name(self, id: &str, number: usize) -> String {
        match self {
            Self::Tap => format!("{id}-tap-{number}"),
            Self::Vhost => format!("{id}-vhost-{number}"),
        }
    }
}

/// A connection to a socket, once.
fn connection(name: &str, path: String) -> chardev_add {
    let address = UnixSocketAddress {
        abstract_: None,
        tight: None,
        path,
    };
    let socket = ChardevSocket {
        base: ChardevCommon {
            logappend: None,
            logfile: None,
        },
        nodelay: None,
        reconnect: None,
        server: Some(false),
        telnet: None,
        tls_authz: None,
        tls_creds: None,
        tn3270: None,
        wait: None,
        websocket: None,
        addr: SocketAddressLegacy::unix(address.into()),
    };
    chardev_add {
        backend: ChardevBackend::socket(socket.into()),
        id: name.to_owned(),
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Gone, "the machine has ended")
}

fn no_bridge() -> Error {
    let message = "this machine was launched without a place for further network devices: stop the \
                   sandbox and start it again";
    Error::new(ErrorKind::Unsupported, message)
}
