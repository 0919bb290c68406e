//! The error of every backend.

use std::error::Error as StdError;
use std::fmt;

pub use virtcontainers_types::ErrorKind;

use crate::MachineExit;

/// A hypervisor operation failed.
///
/// The message names the operation and the object and, where there is one, the next step; the
/// cause is the [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    native: Option<String>,
    exit: Option<Box<MachineExit>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            native: None,
            exit: None,
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the monitor's own error class, such as `GenericError` or `DeviceNotFound` of QMP.
    #[must_use]
    pub fn with_native(mut self, class: impl Into<String>) -> Self {
        self.native = Some(class.into());
        self
    }

    /// Adds how the machine ended, when that is why the operation failed.
    #[must_use]
    pub fn with_exit(mut self, exit: MachineExit) -> Self {
        self.exit = Some(Box::new(exit));
        self
    }

    /// How the machine ended, when that is why the operation failed.
    pub fn exit(&self) -> Option<&MachineExit> {
        self.exit.as_deref()
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The monitor's own error class, when it gave one.
    pub fn native(&self) -> Option<&str> {
        self.native.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
