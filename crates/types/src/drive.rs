//! A disk of the machine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::text::stored_as_text;

/// How the bytes of a disk are laid out. Nothing guesses it: a guest that writes to a raw disk could
/// make it look like something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DriveFormat {
    /// As the guest sees them.
    Raw,
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
}

impl DriveFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Qcow2];

    /// The name, lowercase.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl fmt::Display for DriveFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DriveFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| Error::invalid("drive format", text, "use raw or qcow2"))
    }
}

stored_as_text!(DriveFormat);

/// A disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    /// Its name in the machine, unique there.
    pub id: String,
    /// The file or block device on the host, absolute.
    pub path: PathBuf,
    /// Its layout.
    pub format: DriveFormat,
    /// The guest cannot write to it, and the host opens it for reading only.
    pub read_only: bool,
}
