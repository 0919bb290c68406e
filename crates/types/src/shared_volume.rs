//! A directory of the host for the whole guest. (For one container, see [`Volume`](crate::Volume).)

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::text::{absolute, parts, stored_as_text};

/// A directory of the host that the guest mounts by a tag, in text `tag:path`.
///
/// Neither part has a colon or white space, and the path is absolute, so that text and value are
/// always the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SharedVolume {
    tag: String,
    path: PathBuf,
}

impl SharedVolume {
    /// The name by which the guest mounts it.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The directory on the host, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for SharedVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tag, self.path.display())
    }
}

impl FromStr for SharedVolume {
    type Err = Error;

    /// Errors: `Invalid`, naming the part that is missing, empty or malformed.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::invalid("shared volume", text, reason);
        let [tag, path] = parts(text, ["tag", "path"]).map_err(refuse)?;
        absolute(path, "path").map_err(refuse)?;
        Ok(Self {
            tag: tag.to_owned(),
            path: path.into(),
        })
    }
}

stored_as_text!(SharedVolume);
