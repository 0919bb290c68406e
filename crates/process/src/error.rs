//! The error of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value given by the caller cannot be used: correct it.
    Invalid,
    /// A program or process does not exist.
    NotFound,
    /// The host does not permit it.
    Denied,
    /// The peer has ended.
    Gone,
    /// A deadline passed.
    Timeout,
    /// The program ran and reported failure; what it wrote is in the message.
    Failed,
    /// The host cannot do this at all.
    Unsupported,
    /// A fault of ours or of the system below.
    Internal,
}

/// An operation on a process failed. The message names the operation and the object; the cause is
/// the [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// An error whose kind follows from the system's error number.
    pub(crate) fn system(message: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            io::ErrorKind::TimedOut => ErrorKind::Timeout,
            io::ErrorKind::InvalidInput => ErrorKind::Invalid,
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Internal,
        };
        Self {
            kind,
            message: message.into(),
            source: Some(source),
        }
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
