//! Where a device sits in the guest's PCI tree.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::text::stored_as_text;

/// The largest slot of a PCI bus: slots have five bits.
const LAST_SLOT: u8 = 0x1f;

/// The slots from the root bus to a device, in text `xx/yy/zz`: two hexadecimal digits each, bridges
/// first, the device last.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciPath(Vec<u8>);

impl PciPath {
    /// Errors: `Invalid` without a slot, or for one above 31.
    pub fn new(slots: Vec<u8>) -> Result<Self, Error> {
        let path = Self(slots);
        let refuse = |reason: &str| Err(Error::invalid("PCI path", path.to_string(), reason));
        if path.0.is_empty() {
            return refuse("it has no slot");
        }
        if path.0.iter().any(|slot| *slot > LAST_SLOT) {
            return refuse("slots go from 00 to 1f");
        }
        Ok(path)
    }

    /// The slots, the device's last; at least one.
    pub fn slots(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PciPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, slot) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "/" };
            write!(f, "{separator}{slot:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for PciPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let slots = text.split('/').map(|part| {
            let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let slot = u8::from_str_radix(part, 16).ok().filter(|_| digits);
            slot.ok_or_else(|| {
                let reason = format!("write each slot as two hexadecimal digits, not {part:?}");
                Error::invalid("PCI path", text, reason)
            })
        });
        Self::new(slots.collect::<Result<_, _>>()?)
    }
}

stored_as_text!(PciPath);
