//! Addresses of devices as the host writes them, and where sysfs keeps what they name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::children;
use crate::status::Failure;

/// Slots from the root bus to a PCI function, `SS[.F]` in hexadecimal joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PciPath {
    root: u8,
    steps: Vec<(u8, u8)>,
}

/// Longest chain of bridges.
const DEEPEST: usize = 16;

/// From this slot on a first part of three names an expander's root bus.
const FIRST_EXPANDER: u8 = 0x20;

impl FromStr for PciPath {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let wrong = || Failure::invalid(format!("{text:?} is not a PCI path like 02/03"));
        let mut steps = Vec::new();
        for part in text.split('/') {
            let (slot, function) = part.split_once('.').unwrap_or((part, "0"));
            let number = |digits: &str| {
                let fits = (1..=2).contains(&digits.len());
                fits.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
            };
            let slot = number(slot).ok_or_else(wrong)?;
            let function = number(function)
                .filter(|function| *function < 8)
                .ok_or_else(wrong)?;
            steps.push((slot, function));
        }
        let mut root = 0;
        if let [(bus, 0), _, _, ..] = steps.as_slice()
            && *bus >= FIRST_EXPANDER
        {
            root = *bus;
            steps.remove(0);
        }
        let slots_fit = steps.iter().all(|(slot, _)| *slot < 32);
        if !slots_fit || steps.len() > DEEPEST {
            return Err(wrong());
        }
        Ok(Self { root, steps })
    }
}

impl fmt::Display for PciPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if self.root > 0 {
            write!(out, "{:02x}", self.root)?;
            between = "/";
        }
        for (slot, function) in &self.steps {
            write!(out, "{between}{slot:02x}")?;
            if *function > 0 {
                write!(out, ".{function}")?;
            }
            between = "/";
        }
        Ok(())
    }
}

impl PciPath {
    /// The function's folder, if it is there. Bus numbers below a bridge are the guest's choice,
    /// so each step is found by its slot.
    pub(crate) fn sysfs(&self, sys: &Path) -> Option<PathBuf> {
        let mut folder = sys.join(format!("devices/pci0000:{:02x}", self.root));
        for (slot, function) in &self.steps {
            let tail = format!(":{slot:02x}.{function}");
            folder = children(&folder).into_iter().find(|child| {
                child
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.len() == 12 && name.ends_with(&tail))
            })?;
        }
        Some(folder)
    }
}

/// `ID:LUN` of a disk on the virtio SCSI controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScsiTarget {
    id: u32,
    lun: u32,
}

impl ScsiTarget {
    /// Reads the decimal form.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for anything else.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        text.split_once(':')
            .and_then(|(id, lun)| {
                Some(Self {
                    id: id.parse().ok()?,
                    lun: lun.parse().ok()?,
                })
            })
            .ok_or_else(|| Failure::invalid(format!("{text:?} is not a SCSI address ID:LUN")))
    }

    /// What is written to a host's `scan` file.
    pub(crate) fn scan_line(&self) -> String {
        format!("0 {} {}", self.id, self.lun)
    }

    /// The disk's folder, if it is there.
    pub(crate) fn sysfs(&self, sys: &Path) -> Option<PathBuf> {
        let tail = format!(":0:{}:{}", self.id, self.lun);
        children(&sys.join("bus/scsi/devices"))
            .into_iter()
            .find(|path| path.to_str().is_some_and(|path| path.ends_with(&tail)))
    }
}
