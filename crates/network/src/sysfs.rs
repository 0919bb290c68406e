//! PCI devices in sysfs: what is told of them, and the few files that are written.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::view::{GroupMember, PciDevice};

/// The driver that gives devices to machines.
pub(crate) const VFIO: &str = "vfio-pci";
/// The class of bridges, in `class` (PCI Code and ID Assignment Specification, 1.7).
const BRIDGE: &str = "0x06";
/// What `driver_override` says when there is none.
const NOTHING: &str = "(null)";

type Writer<'a> = dyn Fn(&Path, &str) -> io::Result<()> + Sync + 'a;

/// The sysfs of the host, or for tests a directory that looks like one.
pub(crate) struct Sysfs<'a> {
    root: PathBuf,
    write: &'a Writer<'a>,
}

impl Sysfs<'static> {
    /// The host's.
    pub(crate) fn host() -> Self {
        Self {
            root: PathBuf::from("/sys"),
            write: &write,
        }
    }
}

impl<'a> Sysfs<'a> {
    #[cfg(test)]
    pub(crate) fn at(root: &Path, write: &'a Writer<'a>) -> Self {
        let root = root.to_owned();
        Self { root, write }
    }

    fn bus(&self) -> PathBuf {
        self.root.join("bus/pci")
    }

    fn device(&self, address: &str) -> PathBuf {
        self.bus().join("devices").join(address)
    }

    /// What is told of a device. Error: `NotFound` when there is none.
    pub(crate) fn look(&self, address: &str) -> io::Result<PciDevice> {
        Ok(PciDevice {
            driver: self.driver(address)?,
            driver_override: self.driver_override(address)?,
            group: self.group(address)?,
            vfio: self.bus().join("drivers").join(VFIO).is_dir(),
        })
    }

    /// The driver that a device is bound to. Error: `NotFound` when there is no such device.
    pub(crate) fn driver(&self, address: &str) -> io::Result<Option<String>> {
        let device = self.device(address);
        fs::metadata(&device)?;
        match fs::read_link(device.join("driver")) {
            Ok(link) => Ok(name_of(&link)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The only driver that a device may be bound to.
    pub(crate) fn driver_override(&self, address: &str) -> io::Result<Option<String>> {
        let text = fs::read_to_string(self.device(address).join("driver_override"))?;
        let text = text.trim();
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty() && text != NOTHING))
    }

    fn group(&self, address: &str) -> io::Result<Option<Vec<GroupMember>>> {
        let folder = self.device(address).join("iommu_group/devices");
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut members = Vec::new();
        for entry in entries {
            let address = entry?.file_name().to_string_lossy().into_owned();
            let class = fs::read_to_string(self.device(&address).join("class"));
            members.push(GroupMember {
                driver: self.driver(&address)?,
                bridge: class.is_ok_and(|class| class.starts_with(BRIDGE)),
                address,
            });
        }
        members.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(Some(members))
    }

    /// Takes a device from its driver. Error: `ENODEV` when another one has it.
    pub(crate) fn unbind(&self, address: &str, driver: &str) -> io::Result<()> {
        let driver = self.bus().join("drivers").join(driver);
        (self.write)(&driver.join("unbind"), address)
    }

    /// Gives a device to a driver. Errors: `NotFound` when the driver is not loaded, `ENODEV` when it
    /// does not take the device.
    pub(crate) fn bind(&self, address: &str, driver: &str) -> io::Result<()> {
        let driver = self.bus().join("drivers").join(driver);
        (self.write)(&driver.join("bind"), address)
    }

    /// Sets the only driver that a device may be bound to, or that it may be any.
    pub(crate) fn set_override(&self, address: &str, driver: Option<&str>) -> io::Result<()> {
        let file = self.device(address).join("driver_override");
        // An empty line; the kernel does not see a write of nothing.
        (self.write)(&file, &format!("{}\n", driver.unwrap_or_default()))
    }

    /// Has the kernel find the driver of a device.
    pub(crate) fn probe(&self, address: &str) -> io::Result<()> {
        (self.write)(&self.bus().join("drivers_probe"), address)
    }
}

fn name_of(link: &Path) -> Option<String> {
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// A file of sysfs takes what one write brings, and is never made.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())
}
