//! The engine's one error: what a caller can do about it, the step that failed, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the engine gives back.
pub(crate) type Result<T> = std::result::Result<T, EngineError>;

/// What a caller decides by. Each stands for one status code of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ErrorKind {
    /// The request is nonsense, whatever the state of the guest (`INVALID_ARGUMENT`).
    Invalid,
    /// No such container (`NOT_FOUND`).
    NotFound,
    /// The id is taken (`ALREADY_EXISTS`).
    AlreadyExists,
    /// Right request, wrong moment (`FAILED_PRECONDITION`).
    WrongState,
    /// The kernel refused something (`INTERNAL`).
    Internal,
}

/// A refused or failed operation. It crosses from the container's process to the agent, so it
/// carries its source as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EngineError {
    kind: ErrorKind,
    message: String,
}

impl EngineError {
    /// An error of any kind; the message is lowercase, names the step and the object.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The request is nonsense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Not now.
    pub(crate) fn wrong_state(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::WrongState, message)
    }

    /// Something in the guest did not work.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// What a caller decides by.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same kind, with what was being done before the text.
    pub(crate) fn within(self, doing: impl fmt::Display) -> Self {
        Self {
            kind: self.kind,
            message: format!("{doing}: {}", self.message),
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}

/// Says which step failed, where a call of the operating system did.
pub(crate) trait Step<T> {
    /// Turns the error into an internal one that begins with the step.
    fn step(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Step<T> for std::io::Result<T> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| EngineError::internal(format!("{}: {error}", what())))
    }
}

impl<T> Step<T> for rustix::io::Result<T> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(std::io::Error::from).step(what)
    }
}
