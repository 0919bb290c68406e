//! The one error type of the agent: a status code of the protocol and a sentence.
//!
//! Every handler ends in a [`Failure`]; its code decides what a client does next, so it is chosen
//! where the error is understood and never changed on the way up. Text is for people only.

use std::fmt;
use std::io;

use ttrpc::Code;

use crate::container::{EngineError, ErrorKind};

/// What a handler gives back.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    /// A failure with any code; prefer the named constructors.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The request is nonsense whatever the state of the guest.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::INVALID_ARGUMENT, message)
    }

    /// No container of that name. Code and words are those that clients of the protocol expect.
    pub(crate) fn no_container(id: &str) -> Self {
        Self::invalid(format!("invalid container id {id:?}: no such container"))
    }

    /// The thing named does not exist (any more).
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NOT_FOUND, message)
    }

    /// The name is taken.
    pub(crate) fn exists(message: impl Into<String>) -> Self {
        Self::new(Code::ALREADY_EXISTS, message)
    }

    /// Right request, wrong moment.
    pub(crate) fn wrong_state(message: impl Into<String>) -> Self {
        Self::new(Code::FAILED_PRECONDITION, message)
    }

    /// Something in the guest did not work.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::INTERNAL, message)
    }

    /// A deadline of the request passed.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(Code::DEADLINE_EXCEEDED, message)
    }

    /// The same code, with what was being done put before the text.
    pub(crate) fn within(self, doing: impl fmt::Display) -> Self {
        Self {
            code: self.code,
            message: format!("{doing}: {}", self.message),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let code = match error.kind() {
            ErrorKind::Invalid => Code::INVALID_ARGUMENT,
            ErrorKind::NotFound => Code::NOT_FOUND,
            ErrorKind::AlreadyExists => Code::ALREADY_EXISTS,
            ErrorKind::WrongState => Code::FAILED_PRECONDITION,
            ErrorKind::Internal => Code::INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Failure> for ttrpc::Error {
    fn from(failure: Failure) -> Self {
        ttrpc::Error::RpcStatus(ttrpc::get_status(failure.code, failure.message))
    }
}

/// Says what was being done when an operating system call failed.
pub(crate) trait Doing<T> {
    /// Turns the error into an INTERNAL failure that begins with `what`.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::internal(format!("{}: {error}", what())))
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Failure::internal(format!("{}: {}", what(), io::Error::from(errno))))
    }
}
