//! Ids of sandboxes, containers and exec'd processes: checked once, safe as file names ever after.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest id, in bytes.
pub const MAX_LENGTH: usize = 128;

fn check(what: &'static str, text: &str) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::invalid(what, text, reason));
    if text.is_empty() {
        return refuse("it is empty; use 1 to 128 of A-Z a-z 0-9 _ . + -");
    }
    if text.len() > MAX_LENGTH {
        let reason = format!(
            "it has {} bytes; at most {MAX_LENGTH} are allowed",
            text.len()
        );
        return Err(Error::invalid(what, text, reason));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return refuse("it must begin with a letter or digit");
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "_.+-".contains(*c)))
    {
        Some(bad) => Err(Error::invalid(
            what,
            text,
            format!("{bad:?} is not allowed; use A-Z a-z 0-9 _ . + -"),
        )),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// Syntax: `[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}`, so that it is always a safe file name.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses an id. Fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), saying
            /// which character or length is wrong.
            pub fn new(text: impl Into<String>) -> Result<Self, Error> {
                let text = text.into();
                check($what, &text)?;
                Ok(Self(text))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<std::path::Path> for $name {
            fn as_ref(&self) -> &std::path::Path {
                self.0.as_ref()
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id!(
    /// The id of a sandbox: one virtual machine with everything in it.
    SandboxId,
    "sandbox id"
);
id!(
    /// The id of a container, unique within its sandbox. The first container's id is its sandbox's.
    ContainerId,
    "container id"
);
id!(
    /// The id of a process started in a container beside its init process.
    ExecId,
    "exec id"
);

impl From<SandboxId> for ContainerId {
    /// The id of the sandbox's first container.
    fn from(id: SandboxId) -> Self {
        Self(id.0)
    }
}

impl From<ContainerId> for SandboxId {
    /// The id of the sandbox that a first container brings with it.
    fn from(id: ContainerId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_file_names() {
        for good in ["a", "A1", "web-1.2_3+4", &"x".repeat(128)] {
            assert!(SandboxId::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "a/b",
            "a b",
            "a\n",
            "é",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(SandboxId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_the_character() {
        let error = ContainerId::new("a/b").unwrap_err().to_string();
        assert!(error.contains("'/'"), "{error}");
    }

    #[test]
    fn stored_ids_are_checked_again() {
        assert!(serde_json::from_str::<SandboxId>("\"../x\"").is_err());
    }
}
