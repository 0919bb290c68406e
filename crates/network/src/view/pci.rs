//! What has to be known of a PCI device before a machine can be given it.

use serde::{Deserialize, Serialize};

/// A device on the PCI bus, as sysfs tells of it
/// (`Documentation/ABI/testing/sysfs-bus-pci` of the kernel).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciDevice {
    /// The driver that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The only driver that it may be bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_override: Option<String>,
    /// All devices of its IOMMU group, itself among them; absent where the IOMMU is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Vec<GroupMember>>,
    /// Whether the host has the driver that gives devices to machines, vfio-pci.
    #[serde(default)]
    pub vfio: bool,
}

/// A device of an IOMMU group, which machines get as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Its address on the bus, such as `0000:3b:02.1`.
    pub address: String,
    /// The driver that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// It is a bridge, which stays with the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bridge: bool,
}
