//! The error of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

pub use virtcontainers_types::ErrorKind;

/// A network operation failed. The message names the operation and the object and, where there is
/// one, the next step; the cause is the [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says which namespace it is about, unless that was said.
    pub(crate) fn within(mut self, namespace: &Path) -> Self {
        let namespace = namespace.display().to_string();
        if !self.message.contains(&namespace) {
            self.message += &format!(" (in the network namespace {namespace})");
        }
        self
    }

    /// A system call failed; `verb` as in "cannot `mount` …".
    pub(crate) fn system(verb: &str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::on(verb, &path.display().to_string(), source.into())
    }

    /// The kernel refused something about a link; `verb` as in "cannot `make the tap` …".
    pub(crate) fn link(verb: &str, name: &str, source: io::Error) -> Self {
        Self::on(verb, name, source)
    }

    fn on(verb: &str, object: &str, source: io::Error) -> Self {
        let kind = match source.raw_os_error() {
            Some(libc::ENODEV) => ErrorKind::NotFound,
            Some(libc::EBUSY) => ErrorKind::Busy,
            Some(libc::EOPNOTSUPP) => ErrorKind::Unsupported,
            _ => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
                io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Internal,
            },
        };
        Self::new(kind, format!("cannot {verb} {object}")).with_source(source)
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
        self.source.as_deref().map(|source| source as _)
    }
}
