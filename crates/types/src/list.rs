//! Lists of values in one argument, separated by single spaces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, SharedVolume, Socket};

/// Values that are written in one text, separated by single spaces. The empty text is the empty
/// list; a space too many is refused. In JSON it is an array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpaceList<T>(pub Vec<T>);

/// Directories for the guest, `tag:path tag:path`.
pub type Volumes = SpaceList<SharedVolume>;
/// Sockets for the guest, `device:id:path:name device:id:path:name`.
pub type Sockets = SpaceList<Socket>;

impl<T> Default for SpaceList<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: fmt::Display> fmt::Display for SpaceList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, value) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { " " };
            write!(f, "{separator}{value}")?;
        }
        Ok(())
    }
}

impl<T: FromStr<Err = Error>> FromStr for SpaceList<T> {
    type Err = Error;

    /// Fails with the refusal of the first entry that is malformed.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.split(' ').any(str::is_empty) {
            return Err(Error::invalid(
                "list",
                text,
                "write one space between two entries",
            ));
        }
        text.split(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
