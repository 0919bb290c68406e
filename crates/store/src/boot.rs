//! Which boot of the host something belongs to: processes, mounts and links do not outlive it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::Problem;

const SOURCE: &str = "/proc/sys/kernel/random/boot_id";

/// The identity of one boot of the host (random(4), `boot_id`). Passed in, so that tests can have
/// the host reboot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl BootId {
    /// The boot that is running now.
    ///
    /// Errors: `Internal` when `/proc` does not tell.
    pub fn current() -> Result<Self, Error> {
        let text = std::fs::read_to_string(SOURCE).map_err(|source| {
            let path = Path::new(SOURCE).to_owned();
            Error::new("read the boot id", Problem::Io { path, source })
        })?;
        Ok(Self(text.trim().to_owned()))
    }

    /// A boot by name.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
