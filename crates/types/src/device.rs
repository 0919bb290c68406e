//! A device of the host for a container.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::text::stored_as_text;

/// The kind of a device node, in text one letter, as `mknod` and the OCI runtime specification
/// write it (`config-linux.md`, devices).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceKind {
    /// `b`: a block device.
    Block,
    /// `c`: a character device.
    Character,
    /// `u`: a character device, in its other spelling.
    Unbuffered,
    /// `p`: a named pipe.
    Fifo,
}

impl DeviceKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Block, Self::Character, Self::Unbuffered, Self::Fifo];

    /// The letter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "b",
            Self::Character => "c",
            Self::Unbuffered => "u",
            Self::Fifo => "p",
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeviceKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::invalid("device type", text, "use b, c, u or p"))
    }
}

stored_as_text!(DeviceKind);

/// A device of the host that a container, or the guest, gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// What it is.
    pub kind: DeviceKind,
    /// The node on the host, absolute; found by the numbers when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<PathBuf>,
    /// Where the container sees it, absolute.
    pub container_path: PathBuf,
    /// The major number on the host.
    pub major: u32,
    /// The minor number on the host.
    pub minor: u32,
    /// Permission bits of the node in the container.
    pub file_mode: u32,
    /// The node's owner in the container.
    pub uid: u32,
    /// The node's group in the container.
    pub gid: u32,
    /// Nobody in the guest can write to it.
    pub read_only: bool,
}

impl DeviceInfo {
    /// Checks what the types do not: paths are absolute.
    ///
    /// Errors: `Invalid`, naming the path.
    pub fn check(&self) -> Result<(), Error> {
        let paths = self.host_path.iter().chain([&self.container_path]);
        for path in paths {
            if !path.is_absolute() {
                let shown = path.display().to_string();
                return Err(Error::invalid("device path", shown, "it is not absolute"));
            }
        }
        Ok(())
    }
}
