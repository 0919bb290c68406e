//! The single changes that connect a machine: what a plan lists, the ledger holds, and
//! [`undo`](crate::undo) takes back.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use virtcontainers_types::MacAddress;

use crate::restore::Former;

/// A link that an effect is on: one of those that were there, by its index, since it may be renamed;
/// or one that we made, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRef {
    /// Its name.
    pub name: String,
    /// Its index, unless we make it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
}

impl LinkRef {
    /// A link that we make.
    pub fn made(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            index: None,
        }
    }
}

/// One change in a network namespace, or of a device whose interface is in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Effect {
    /// The link is taken up. Undone by taking it down.
    Up {
        /// The link.
        link: LinkRef,
    },
    /// A tap is made that lives as long as somebody has it open, and taken up.
    Tap {
        /// Its name.
        name: String,
        /// Its largest packet, in bytes.
        mtu: u32,
        /// How many descriptors it gives.
        queues: u16,
    },
    /// A macvtap in passthru mode is made on a link, and taken up.
    #[serde(rename = "macvtap")]
    MacVtap {
        /// Its name.
        name: String,
        /// The link below it.
        on: LinkRef,
    },
    /// A bridge is made that neither snoops on groups nor answers for the host, and taken up.
    Bridge {
        /// Its name.
        name: String,
        /// Its largest packet, in bytes.
        mtu: u32,
    },
    /// A link becomes a port of a bridge that we made.
    Port {
        /// The link.
        link: LinkRef,
        /// The bridge's name.
        bridge: String,
    },
    /// A link gets another hardware address. The kernel forgets its neighbours over that; those
    /// that were told to it are told again.
    Mac {
        /// The link.
        link: LinkRef,
        /// The address that it had.
        from: MacAddress,
        /// The address that it gets.
        to: MacAddress,
        /// Static neighbours.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        neighbors: Vec<StaticNeighbor>,
    },
    /// A link of which no packets may wait gets the kernel's usual queue. It would get it all the
    /// same with the first queueing discipline, and keep it.
    Queue {
        /// The link.
        link: LinkRef,
    },
    /// The place for filters on the way in of a link is made.
    Ingress {
        /// The link.
        link: LinkRef,
    },
    /// Every frame that comes in on one link goes out on another.
    Redirect {
        /// Where it comes in.
        from: LinkRef,
        /// Where it goes out.
        to: LinkRef,
    },
    /// What goes out on a link is held back to a rate (tc-tbf(8)).
    Shape {
        /// The link.
        link: LinkRef,
        /// Bytes in a second.
        rate: u64,
        /// The link's largest packet, in bytes.
        mtu: u32,
    },
    /// A device of the host is taken from its driver, and its interface goes. Undone by giving it
    /// back to the driver, and what the interface was to the new one.
    TakeDevice {
        /// Its address on the PCI bus.
        device: String,
        /// The driver.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<String>,
        /// What the interface was.
        interface: Box<Former>,
    },
    /// A device may be bound to vfio-pci alone.
    ReserveDevice {
        /// Its address on the PCI bus.
        device: String,
        /// The driver to which alone it could be bound before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// A device is bound to vfio-pci, for a machine to open. Undoing blocks while one has it open.
    GiveDevice {
        /// Its address on the PCI bus.
        device: String,
    },
}

/// A neighbour that somebody told the kernel of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticNeighbor {
    /// Its internet address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: MacAddress,
    /// `ndm_flags` of rtnetlink(7).
    #[serde(default)]
    pub flags: u8,
}

impl Effect {
    /// The name of the link that it makes.
    pub(crate) fn makes(&self) -> Option<&str> {
        match self {
            Self::Tap { name, .. } | Self::MacVtap { name, .. } | Self::Bridge { name, .. } => {
                Some(name)
            }
            _ => None,
        }
    }

    /// Whether it changes a device of the host, rather than a link of the namespace.
    pub(crate) const fn is_of_device(&self) -> bool {
        matches!(
            self,
            Self::TakeDevice { .. } | Self::ReserveDevice { .. } | Self::GiveDevice { .. }
        )
    }

    /// What it is done to, for messages.
    pub(crate) fn target(&self) -> &str {
        match self {
            Self::Tap { name, .. } | Self::MacVtap { name, .. } | Self::Bridge { name, .. } => name,
            Self::TakeDevice { device, .. }
            | Self::ReserveDevice { device, .. }
            | Self::GiveDevice { device } => device,
            Self::Redirect { from: link, .. }
            | Self::Up { link }
            | Self::Port { link, .. }
            | Self::Mac { link, .. }
            | Self::Queue { link }
            | Self::Ingress { link }
            | Self::Shape { link, .. } => &link.name,
        }
    }

    /// What it does, for messages: "cannot … NAME".
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Self::Up { .. } => "take up the link",
            Self::Tap { .. } => "make the tap",
            Self::MacVtap { .. } => "make the macvtap",
            Self::Bridge { .. } => "make the bridge",
            Self::Port { .. } => "add to its bridge the link",
            Self::Mac { .. } => "change the hardware address of",
            Self::Queue { .. } => "set the queue of",
            Self::Ingress { .. } => "make room for filters on",
            Self::Redirect { .. } => "redirect what comes in on",
            Self::Shape { .. } => "limit the rate of",
            Self::TakeDevice { .. } => "take from its driver the device",
            Self::ReserveDevice { .. } => "reserve for vfio-pci the device",
            Self::GiveDevice { .. } => "bind to vfio-pci the device",
        }
    }
}
