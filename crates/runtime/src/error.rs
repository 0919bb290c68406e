//! The error of every public operation, in a form that survives the way from the supervisor.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{ExitStatus, SandboxId};

pub use virtcontainers_types::ErrorKind;

use crate::diagnosis::BootReport;

/// An operation on a sandbox or container failed.
///
/// The message names the operation, the object and the next step; causes are its
/// [`source`](StdError::source) chain. A failed boot carries a [`BootReport`].
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    sandbox: Option<SandboxId>,
    report: Option<Box<BootReport>>,
    exit_status: Option<ExitStatus>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            sandbox: None,
            report: None,
            exit_status: None,
            source: None,
        }
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn of(mut self, sandbox: &SandboxId) -> Self {
        self.sandbox.get_or_insert_with(|| sandbox.clone());
        self
    }

    pub(crate) fn with_report(mut self, report: BootReport) -> Self {
        self.report = Some(Box::new(report));
        self
    }

    /// The command itself is at fault; this is the status that a shell would give.
    pub(crate) fn with_exit_status(mut self, status: ExitStatus) -> Self {
        self.exit_status = Some(status);
        self
    }

    /// The status that a shell would give, when the command itself is at fault: 127 for one that
    /// does not exist. Only agents that refuse such a command lead here; ours starts a process that
    /// ends with the status.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.exit_status
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sandbox that the operation was about.
    pub fn sandbox(&self) -> Option<&SandboxId> {
        self.sandbox.as_ref()
    }

    /// What was seen of a machine that did not come up.
    pub fn boot_report(&self) -> Option<&BootReport> {
        self.report.as_deref()
    }

    /// The same error as data, for another process.
    pub(crate) fn to_wire(&self) -> WireError {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        WireError {
            kind: self.kind.as_str().to_owned(),
            message: self.message.clone(),
            causes,
            report: self.report.as_deref().cloned(),
            exit_status: self.exit_status,
        }
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

/// An [`Error`] on its way between processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireError {
    kind: String,
    message: String,
    causes: Vec<String>,
    report: Option<BootReport>,
    exit_status: Option<ExitStatus>,
}

impl From<WireError> for Error {
    fn from(wire: WireError) -> Self {
        let causes = wire.causes.into_iter().rev();
        let source = causes.fold(None, |source, message| {
            Some(Box::new(WireCause { message, source }))
        });
        Self {
            kind: kind_named(&wire.kind),
            message: wire.message,
            sandbox: None,
            report: wire.report.map(Box::new),
            exit_status: wire.exit_status,
            source: source.map(|cause| cause as _),
        }
    }
}

#[derive(Debug)]
struct WireCause {
    message: String,
    source: Option<Box<WireCause>>,
}

impl fmt::Display for WireCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for WireCause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

fn kind_named(name: &str) -> ErrorKind {
    use ErrorKind::{
        AlreadyExists, Busy, Corrupt, Denied, Gone, Incompatible, Internal, Invalid, NotFound,
        Timeout, Unsupported, WrongState,
    };
    [
        Invalid,
        NotFound,
        AlreadyExists,
        WrongState,
        Busy,
        Unsupported,
        Denied,
        Gone,
        Timeout,
        Corrupt,
        Incompatible,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == name)
    .unwrap_or(Internal)
}

/// Converts the error of a lower crate at its edge: the kind is kept, the error becomes the cause.
macro_rules! lower_error {
    ($($crate_error:ty),* $(,)?) => {$(
        impl Lower for $crate_error {
            fn kind(&self) -> ErrorKind {
                <$crate_error>::kind(self)
            }
        }
    )*};
}

/// An error of a crate below, whose kind is passed on.
pub(crate) trait Lower: StdError + Send + Sync + 'static {
    fn kind(&self) -> ErrorKind;
}

lower_error!(
    virtcontainers_agent::Error,
    virtcontainers_hypervisor::Error,
    virtcontainers_network::Error,
    virtcontainers_oci::Error,
    virtcontainers_share::Error,
    virtcontainers_cgroup::Error,
    virtcontainers_store::Error,
    virtcontainers_types::Error,
);

impl Lower for Error {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl Lower for virtcontainers_process::Error {
    /// The lowest layer has kinds of its own.
    fn kind(&self) -> ErrorKind {
        use virtcontainers_process::ErrorKind as Process;
        match virtcontainers_process::Error::kind(self) {
            Process::Invalid => ErrorKind::Invalid,
            Process::NotFound => ErrorKind::NotFound,
            Process::Denied => ErrorKind::Denied,
            Process::Gone => ErrorKind::Gone,
            Process::Timeout => ErrorKind::Timeout,
            Process::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Internal,
        }
    }
}

/// Names the operation that a lower error ended.
pub(crate) trait Context<T> {
    /// `message` says what was being done, to what.
    fn during(self, message: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Lower> Context<T> for Result<T, E> {
    fn during(self, message: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::new(error.kind(), message()).because(error))
    }
}

/// The error of an agent that refuses a command, with the status that a shell would give.
pub(crate) fn of_command(error: virtcontainers_agent::Error, message: String) -> Error {
    let missing = error.is_program_not_found();
    let error = Error::new(error.kind(), message).because(error);
    match missing {
        true => error.with_exit_status(ExitStatus::NOT_FOUND),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_chain_across_processes() {
        let io = std::io::Error::other("disk on fire");
        let error = Error::new(ErrorKind::Timeout, "cannot boot x").because(io);
        let back = Error::from(error.to_wire());
        assert_eq!(back.kind(), ErrorKind::Timeout);
        assert_eq!(back.to_string(), "cannot boot x");
        assert_eq!(
            back.source().map(ToString::to_string).as_deref(),
            Some("disk on fire")
        );
    }

    #[test]
    fn every_kind_has_its_way_back() {
        for kind in [
            ErrorKind::Invalid,
            ErrorKind::Gone,
            ErrorKind::Internal,
            ErrorKind::Busy,
        ] {
            assert_eq!(kind_named(kind.as_str()), kind);
        }
        assert_eq!(kind_named("from the future"), ErrorKind::Internal);
    }
}
