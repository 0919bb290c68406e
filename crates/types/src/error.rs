//! The error of this crate: what is wrong with a value, and what a valid one looks like.

/// What a caller can do about an error. The same words are used by every crate of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or a value in it is malformed: correct it.
    Invalid,
    /// The named object does not exist.
    NotFound,
    /// The id or name is taken.
    AlreadyExists,
    /// The object exists, but its state does not allow the operation.
    WrongState,
    /// Someone else holds the object; try again later.
    Busy,
    /// The backend, guest or host cannot do this at all.
    Unsupported,
    /// The host or the configuration forbids it.
    Denied,
    /// The peer (machine, agent, supervisor) has ended.
    Gone,
    /// A deadline passed.
    Timeout,
    /// Stored or received bytes cannot be understood.
    Corrupt,
    /// The two sides do not fit each other (version, format).
    Incompatible,
    /// A fault of ours, or of the system below, that the caller cannot mend.
    Internal,
}

impl ErrorKind {
    /// The stable, lowercase name, as it appears in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::WrongState => "wrong-state",
            Self::Busy => "busy",
            Self::Unsupported => "unsupported",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Timeout => "timeout",
            Self::Corrupt => "corrupt",
            Self::Incompatible => "incompatible",
            Self::Internal => "internal",
        }
    }
}

/// A value of this crate was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {reason}")]
pub struct Error {
    what: &'static str,
    value: String,
    reason: String,
}

impl Error {
    pub(crate) fn invalid(
        what: &'static str,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            what,
            value: value.into(),
            reason: reason.into(),
        }
    }

    /// Always [`ErrorKind::Invalid`].
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
