//! The error of this crate: which call, about which container, and what a caller can do.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use virtcontainers_types::ErrorKind;

use crate::fault;
use crate::process::ProcessRef;

/// The result of a call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call to the agent, or the way to it, failed.
///
/// Kinds: `Invalid` and `WrongState` come from checks on this side, before anything was sent;
/// `NotFound`, `AlreadyExists`, `Denied`, `Unsupported` and `Internal` from the agent; `Gone` when
/// the connection ended, `Timeout` when a deadline passed, `Corrupt` when the peer sent what is
/// not of the protocol.
#[derive(Debug)]
pub struct Error {
    operation: &'static str,
    process: Option<(String, String)>,
    cause: Cause,
}

/// What lies below an [`Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Cause {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    WrongState(String),
    #[error("{0}")]
    AlreadyExists(String),
    #[error("{0}")]
    Unsupported(String),
    #[error(transparent)]
    Rpc(#[from] fault::Fault),
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    #[error("the machine ended while its agent was awaited")]
    GivenUp,
    #[error("{path}: {source}")]
    Socket { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Corrupt(String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the runtime that carries the call is shutting down")]
    Cancelled,
    #[error("{reason}")]
    Port { kind: ErrorKind, reason: String },
}

impl Error {
    pub(crate) fn new(operation: &'static str, cause: impl Into<Cause>) -> Self {
        Self {
            operation,
            process: None,
            cause: cause.into(),
        }
    }

    /// An error of another implementation of [`AgentPort`](crate::AgentPort): what its agent
    /// answered, or the end of the way to it. `operation` is the method's name; `reason` is
    /// lowercase and without a final stop.
    pub fn of_port(operation: &'static str, kind: ErrorKind, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::new(operation, Cause::Port { kind, reason })
    }

    /// Refused on this side: the request is malformed.
    pub(crate) fn refused(operation: &'static str, reason: impl Into<String>) -> Self {
        Self::new(operation, Cause::Refused(reason.into()))
    }

    /// Refused on this side: the object is not in the state for it.
    pub(crate) fn wrong_state(operation: &'static str, reason: impl Into<String>) -> Self {
        Self::new(operation, Cause::WrongState(reason.into()))
    }

    /// Refused on this side: the id is taken.
    pub(crate) fn already_exists(operation: &'static str, reason: impl Into<String>) -> Self {
        Self::new(operation, Cause::AlreadyExists(reason.into()))
    }

    /// The peer sent what it may not send.
    pub(crate) fn corrupt(operation: &'static str, reason: impl Into<String>) -> Self {
        Self::new(operation, Cause::Corrupt(reason.into()))
    }

    /// Refused on this side: the protocol cannot carry it.
    pub(crate) fn unsupported(operation: &'static str, reason: impl Into<String>) -> Self {
        Self::new(operation, Cause::Unsupported(reason.into()))
    }

    /// Names the container the call was about.
    #[must_use]
    pub fn of_container(mut self, id: impl Into<String>) -> Self {
        self.process = Some((id.into(), String::new()));
        self
    }

    /// Names the process the call was about.
    #[must_use]
    pub fn of_process(mut self, process: &ProcessRef) -> Self {
        let exec = process.exec().map(ToString::to_string).unwrap_or_default();
        self.process = Some((process.container().to_string(), exec));
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Refused(_) => ErrorKind::Invalid,
            Cause::WrongState(_) => ErrorKind::WrongState,
            Cause::AlreadyExists(_) => ErrorKind::AlreadyExists,
            Cause::Unsupported(_) => ErrorKind::Unsupported,
            Cause::Rpc(fault) => fault.kind(),
            Cause::Deadline(_) => ErrorKind::Timeout,
            Cause::GivenUp => ErrorKind::Gone,
            Cause::Socket { source, .. } | Cause::Io(source) => kind_of_io(source),
            Cause::Corrupt(_) => ErrorKind::Corrupt,
            Cause::Cancelled => ErrorKind::Internal,
            Cause::Port { kind, .. } => *kind,
        }
    }

    /// The operation that failed, as the method of this crate is called.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The container the call was about.
    pub fn container(&self) -> Option<&str> {
        self.process.as_ref().map(|(container, _)| &**container)
    }

    /// The exec'd process the call was about.
    pub fn exec(&self) -> Option<&str> {
        let exec = self.process.as_ref().map(|(_, exec)| &**exec);
        exec.filter(|exec| !exec.is_empty())
    }

    /// The status code the agent answered with (`google.rpc.Code`), when it answered.
    pub fn rpc_code(&self) -> Option<i32> {
        match &self.cause {
            Cause::Rpc(fault) => fault.code(),
            _ => None,
        }
    }

    /// The agent's own text, several lines long with kata-agent. It comes from the guest: bounded
    /// to 4 KiB, and control characters are replaced.
    pub fn rpc_message(&self) -> Option<&str> {
        match &self.cause {
            Cause::Rpc(fault) => fault.message(),
            _ => None,
        }
    }

    /// The agent said that the program to run does not exist: a shell would say 127. That is
    /// kata-agent's way; ours lets the process end with 127 or 126, as a shell does.
    pub fn is_program_not_found(&self) -> bool {
        matches!(&self.cause, Cause::Rpc(fault) if fault.is_program_not_found())
    }

    /// The agent has answered, with an error.
    pub(crate) fn is_answer(&self) -> bool {
        match &self.cause {
            Cause::Rpc(fault) => fault.code().is_some(),
            Cause::Port { kind, .. } => !matches!(kind, ErrorKind::Gone | ErrorKind::Timeout),
            _ => false,
        }
    }

    pub(crate) fn is_end_of_stream(&self) -> bool {
        matches!(&self.cause, Cause::Rpc(fault) if fault.is_end_of_stream())
    }

    pub(crate) fn is_link_not_found(&self) -> bool {
        matches!(&self.cause, Cause::Rpc(fault) if fault.is_link_not_found())
    }

    /// The connection ended or never came about: no further call on it can succeed.
    pub fn is_gone(&self) -> bool {
        self.kind() == ErrorKind::Gone
    }
}

fn kind_of_io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::AddrInUse | io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::InvalidInput => ErrorKind::Invalid,
        io::ErrorKind::TimedOut => ErrorKind::Timeout,
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotConnected => ErrorKind::Gone,
        _ => ErrorKind::Internal,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent: {} failed", self.operation)?;
        match &self.process {
            Some((container, exec)) if exec.is_empty() => write!(f, " for container {container}")?,
            Some((container, exec)) => write!(f, " for process {exec} of container {container}")?,
            None => {}
        }
        f.write_str(match self.kind() {
            ErrorKind::Invalid | ErrorKind::WrongState => "; correct the request",
            ErrorKind::AlreadyExists => "; choose another id",
            ErrorKind::Gone => "; look at the guest console for why the agent is gone",
            ErrorKind::Timeout => "; raise the deadline or look at the guest console",
            ErrorKind::Unsupported => "; this guest cannot do it, use another guest image",
            ErrorKind::Corrupt => "; check that the other end is an agent of this protocol",
            ErrorKind::Denied => "; check the guest's policy and the socket's permissions",
            _ => "",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.cause)
    }
}
