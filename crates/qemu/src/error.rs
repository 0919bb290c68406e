//! Translation of what fails below into the hypervisor's error, with its kind.

use virtcontainers_hypervisor::{Error, ErrorKind, MachineExit};
use virtcontainers_process as process;

use crate::qmp::Failure;

/// A failure of a program or process, seen as the failure of `operation`.
pub(crate) fn of_process(operation: impl Into<String>, error: process::Error) -> Error {
    let kind = match error.kind() {
        process::ErrorKind::Invalid => ErrorKind::Invalid,
        process::ErrorKind::NotFound => ErrorKind::NotFound,
        process::ErrorKind::Denied => ErrorKind::Denied,
        process::ErrorKind::Gone => ErrorKind::Gone,
        process::ErrorKind::Timeout => ErrorKind::Timeout,
        process::ErrorKind::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, operation).with_source(error)
}

/// A failure of the system, seen as the failure of `operation`.
pub(crate) fn of_system(operation: impl Into<String>, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::AddrInUse => {
            ErrorKind::AlreadyExists
        }
        _ => ErrorKind::Internal,
    };
    Error::new(kind, operation).with_source(error)
}

/// A failed QMP command, seen as the failure of `operation`.
pub(crate) fn of_monitor(operation: impl Into<String>, failure: Failure) -> Error {
    let kind = match &failure {
        Failure::Gone(_) => ErrorKind::Gone,
        Failure::Corrupt(_) => ErrorKind::Corrupt,
        Failure::Timeout { .. } => ErrorKind::Timeout,
        Failure::Refused { .. } => ErrorKind::Internal,
    };
    let class = match &failure {
        Failure::Refused { class, .. } => Some(class.clone()),
        Failure::Gone(_) | Failure::Corrupt(_) | Failure::Timeout { .. } => None,
    };
    let error = Error::new(kind, operation).with_source(failure);
    match class {
        Some(class) => error.with_native(class),
        None => error,
    }
}

/// The machine ended during `operation`; its last words are in the message.
pub(crate) fn of_exit(operation: &str, exit: &MachineExit) -> Error {
    let last_words = match exit.stderr.is_empty() {
        true => "it wrote nothing to its standard error".to_owned(),
        false => format!("its last words: {}", exit.stderr),
    };
    let message = format!("cannot {operation}: {exit}; {last_words}");
    Error::new(ErrorKind::Gone, message).with_exit(exit.clone())
}
