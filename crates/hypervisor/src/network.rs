//! Network devices of a machine: what the plan says, what is handed over, and that both fit.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use virtcontainers_types::MacAddress;

use crate::{Error, ErrorKind, Handoffs, MachinePlan};

/// The least size of a packet on Ethernet that a virtio device announces (virtio 1.2, 5.1.4).
const LEAST_MTU: u32 = 68;
/// The largest: the field has 16 bits.
const LARGEST_MTU: u32 = 65535;
/// More queues than the kernel gives to one tap (`MAX_TAP_QUEUES`).
const MOST_QUEUES: u16 = 256;
/// What a socket's address has room for, with the zero byte that some programs put after it (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

/// A network device of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDevicePlan {
    /// Its name in the machine, by which it is found again: a letter, then letters, digits and
    /// hyphens.
    pub id: String,
    /// The address by which the guest finds it.
    pub mac: MacAddress,
    /// The largest packet, in bytes, which the guest is told.
    pub mtu: u32,
    /// Pairs of queues.
    pub queues: u16,
    /// What carries its frames.
    #[serde(default)]
    pub carrier: Carrier,
}

/// What carries the frames of a network device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// A tap or macvtap, whose descriptors are handed over.
    #[default]
    Tap,
    /// A user-space switch (vhost-user).
    VhostUser {
        /// Where it listens, absolute.
        socket: PathBuf,
    },
    /// A device of the host, bound to vfio-pci: the guest has the device itself.
    Vfio {
        /// Its address on the host's PCI bus: `0000:03:00.0`.
        address: String,
    },
}

/// What carries the frames of a network device.
#[derive(Debug)]
pub struct NetworkDeviceHandoff {
    /// The device's name in the plan.
    pub id: String,
    /// A tap or macvtap, once for each pair of queues; with virtio headers (`IFF_VNET_HDR`). None
    /// for another carrier.
    pub descriptors: Vec<OwnedFd>,
    /// The kernel's vhost-net, once for each pair of queues, or not at all.
    pub vhost: Vec<OwnedFd>,
}

impl MachinePlan {
    /// Refuses network devices that no machine could have, or more than `most`: for a backend's
    /// [`check`](crate::Backend::check).
    ///
    /// Errors: `Unsupported` when there is room for none, otherwise `Invalid`.
    pub fn check_network_devices(&self, most: u8) -> Result<(), Error> {
        let count = self.network_devices.len();
        if count > usize::from(most) {
            let (kind, message) = match most {
                0 => (
                    ErrorKind::Unsupported,
                    "this hypervisor gives machines no network devices: use a sandbox without a \
                     network"
                        .to_owned(),
                ),
                most => (
                    ErrorKind::Invalid,
                    format!("{count} network devices are too many: a machine has room for {most}"),
                ),
            };
            return Err(Error::new(kind, message));
        }
        let (mut ids, mut macs) = (BTreeSet::new(), BTreeSet::new());
        for device in &self.network_devices {
            device.check()?;
            if !ids.insert(&device.id) || !macs.insert(device.mac) {
                let message = format!(
                    "two network devices are both {} or both {}",
                    device.id, device.mac
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }
}

impl NetworkDevicePlan {
    /// Refuses what no machine could have.
    ///
    /// Errors: `Invalid`.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| {
            let message = format!("the network device {:?} cannot be: {why}", self.id);
            Err(Error::new(ErrorKind::Invalid, message))
        };
        let mut letters = self.id.chars();
        let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
        if !starts || !letters.all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return refuse("its name is not of letters, digits and hyphens".to_owned());
        }
        if self.mac.0[0] & 1 != 0 || self.mac.0 == [0; 6] {
            return refuse(format!("{} is no address of one device", self.mac));
        }
        if !(LEAST_MTU..=LARGEST_MTU).contains(&self.mtu) {
            return refuse(format!(
                "packets have {LEAST_MTU} to {LARGEST_MTU} bytes, not {}",
                self.mtu
            ));
        }
        if !(1..=MOST_QUEUES).contains(&self.queues) {
            return refuse(format!(
                "it has 1 to {MOST_QUEUES} queues, not {}",
                self.queues
            ));
        }
        match &self.carrier {
            Carrier::VhostUser { socket } if !is_socket_path(socket) => refuse(format!(
                "the socket {socket:?} of its switch is no absolute path, in text, of at most \
                 {LONGEST_SOCKET_PATH} bytes"
            )),
            Carrier::Vfio { address } if !is_pci_address(address) => refuse(format!(
                "{address:?} is no address on the PCI bus, such as 0000:03:00.0"
            )),
            Carrier::Tap | Carrier::VhostUser { .. } | Carrier::Vfio { .. } => Ok(()),
        }
    }
}

fn is_socket_path(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let is_text = path.to_str().is_some() && !bytes.contains(&0);
    is_text && path.is_absolute() && bytes.len() <= LONGEST_SOCKET_PATH
}

/// Domain, bus, device and function, in lowercase hexadecimal digits.
fn is_pci_address(text: &str) -> bool {
    let digits = |part: &str, count: usize| {
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        part.len() == count && part.bytes().all(hexadecimal)
    };
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let [domain, bus, device, function] = parts[..] else {
        return false;
    };
    let shape = format!("{domain}:{bus}:{device}.{function}");
    shape == text
        && digits(domain, 4)
        && digits(bus, 2)
        && digits(device, 2)
        && matches!(function.as_bytes(), [b'0'..=b'7'])
}

impl Handoffs {
    /// That there is what carries the frames of each network device of the plan, and nothing else,
    /// in the plan's order: for a backend's [`launch`](crate::Backend::launch), before any effect.
    ///
    /// Errors: `Invalid`.
    pub fn check_network_devices(&self, plan: &MachinePlan) -> Result<(), Error> {
        let planned = plan.network_devices.iter().map(|device| &device.id);
        let handed = self.network_devices.iter().map(|device| &device.id);
        if !planned.eq(handed) {
            let message = "the network devices that are handed over are not those of the plan";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut pairs = plan.network_devices.iter().zip(&self.network_devices);
        pairs.try_for_each(|(device, handoff)| handoff.check(device))
    }
}

impl NetworkDeviceHandoff {
    /// That this is what carries the frames of `device`: for a backend's
    /// [`add_network_device`](crate::Machine::add_network_device), before any effect.
    ///
    /// Errors: `Invalid`.
    pub fn check(&self, device: &NetworkDevicePlan) -> Result<(), Error> {
        if self.id != device.id {
            let message = format!(
                "the network device {} is handed over in place of {}",
                self.id, device.id
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let queues = match device.carrier {
            Carrier::Tap => usize::from(device.queues),
            Carrier::VhostUser { .. } | Carrier::Vfio { .. } => 0,
        };
        let (taps, vhost) = (self.descriptors.len(), self.vhost.len());
        if taps != queues || (vhost != 0 && vhost != queues) {
            let message = format!(
                "the network device {} needs {queues} descriptors, and has {taps} of a tap and \
                 {vhost} of vhost-net",
                device.id
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
