//! The error of this crate.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use virtcontainers_types::ErrorKind;
use virtcontainers_types::SandboxId;

use crate::Holder;
use crate::codec::Damage;

/// An operation of the store failed.
pub struct Error {
    operation: &'static str,
    id: Option<SandboxId>,
    problem: Box<Problem>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("there is no such sandbox")]
    NotFound,
    #[error("its creation was interrupted and left no record; clean it up or create it anew")]
    NoRecord,
    #[error("the id is in use; choose another one or delete that sandbox")]
    AlreadyExists,
    #[error("{}; try again, or wait longer", busy(.waited, .holder.as_ref()))]
    Locked {
        waited: Duration,
        holder: Option<Holder>,
    },
    #[error("the lease is shared; open the sandbox with an exclusive one")]
    Shared,
    #[error("generation {given} of the record was given, {current} is stored; reload and redo")]
    Stale { given: u64, current: u64 },
    #[error("the record is of sandbox {found}")]
    WrongId { found: SandboxId },
    #[error("{path} cannot be understood; clean the sandbox up")]
    Corrupt {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{path} is damaged; clean the sandbox up")]
    Damaged { path: PathBuf, source: Damage },
    #[error("a {expected} was expected; clean the sandbox up")]
    Unexpected {
        expected: &'static str,
        source: serde_json::Error,
    },
    #[error("it is that of {found}; clean the sandbox up")]
    Mixed { found: String },
    #[error("{path} is the record of sandbox {found}; clean the sandbox up")]
    Foreign { path: PathBuf, found: SandboxId },
    #[error("{path} has format {found}, this program reads up to {known}; use a newer one")]
    Future {
        path: PathBuf,
        found: u64,
        known: u32,
    },
    #[error("{path} does not belong there; remove it")]
    Stranger { path: PathBuf },
    #[error("the record cannot be written as JSON")]
    Encode { source: serde_json::Error },
    #[error("{path}")]
    Io { path: PathBuf, source: io::Error },
}

fn busy(waited: &Duration, holder: Option<&Holder>) -> String {
    let holder = holder.map_or_else(|| "by an unknown process".to_owned(), Holder::to_string);
    if waited.is_zero() {
        format!("it is held {holder}")
    } else {
        format!("it was held for all of {waited:?}, last {holder}")
    }
}

impl Error {
    pub(crate) fn new(operation: &'static str, problem: Problem) -> Self {
        Self {
            operation,
            id: None,
            problem: Box::new(problem),
        }
    }

    pub(crate) fn of(operation: &'static str, id: &SandboxId, problem: Problem) -> Self {
        Self {
            id: Some(id.clone()),
            ..Self::new(operation, problem)
        }
    }

    /// An error of another implementation of [`Backing`](crate::Backing), or of a decorator around
    /// one: `operation` was tried at `path`.
    pub fn of_place(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self::new(operation, Problem::Io { path, source })
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match &*self.problem {
            Problem::NotFound | Problem::NoRecord => ErrorKind::NotFound,
            Problem::AlreadyExists => ErrorKind::AlreadyExists,
            Problem::Locked { waited, .. } if waited.is_zero() => ErrorKind::Busy,
            Problem::Locked { .. } => ErrorKind::Timeout,
            Problem::Shared | Problem::Stale { .. } => ErrorKind::WrongState,
            Problem::WrongId { .. } => ErrorKind::Invalid,
            Problem::Corrupt { .. }
            | Problem::Damaged { .. }
            | Problem::Unexpected { .. }
            | Problem::Mixed { .. }
            | Problem::Foreign { .. }
            | Problem::Stranger { .. } => ErrorKind::Corrupt,
            Problem::Future { .. } => ErrorKind::Incompatible,
            Problem::Encode { .. } => ErrorKind::Internal,
            Problem::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::Denied
            }
            Problem::Io { .. } => ErrorKind::Internal,
        }
    }

    /// What was tried.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The sandbox it was tried on.
    pub fn id(&self) -> Option<&SandboxId> {
        self.id.as_ref()
    }

    /// Who holds the sandbox, for the kinds `Busy` and `Timeout`.
    pub fn holder(&self) -> Option<&Holder> {
        match &*self.problem {
            Problem::Locked { holder, .. } => holder.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.operation)?;
        if let Some(id) = &self.id {
            write!(f, " sandbox {id}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("operation", &self.operation)
            .field("id", &self.id)
            .field("problem", &self.problem)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.problem)
    }
}
