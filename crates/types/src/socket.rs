//! A unix socket of the host that is a serial port of the guest.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::text::{absolute, parts, stored_as_text};

/// A unix socket that the guest sees as a serial port, in text `device:id:path:name`.
///
/// No part has a colon or white space, and the path is absolute, so that text and value are always
/// the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Socket {
    device: String,
    id: String,
    path: PathBuf,
    name: String,
}

impl Socket {
    /// The id of the device in the machine.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The id of the channel that carries it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The socket on the host, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the port in the guest.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{}:{}:{path}:{}", self.device, self.id, self.name)
    }
}

impl FromStr for Socket {
    type Err = Error;

    /// Errors: `Invalid`, naming the part that is missing, empty or malformed.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::invalid("socket", text, reason);
        let [device, id, path, name] =
            parts(text, ["device", "id", "path", "name"]).map_err(refuse)?;
        absolute(path, "path").map_err(refuse)?;
        Ok(Self {
            device: device.to_owned(),
            id: id.to_owned(),
            path: path.into(),
            name: name.to_owned(),
        })
    }
}

stored_as_text!(Socket);
