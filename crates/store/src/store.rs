//! The port: how a sandbox's record is claimed, opened, listed and cleaned up.

use std::fmt::Debug;
use std::time::Duration;

use virtcontainers_types::SandboxId;

use crate::{Claim, Error, Lease, LeaseMode, Ledger, Salvage, Summary};

/// Where records live. All methods block (on the disk, on a lock): call them where that is allowed.
///
/// `operation` is a word for people (`"stop"`): whoever finds the sandbox held is told it.
/// `deadline` is how long to wait for the lock; zero means not at all.
pub trait Store: Send + Sync + Debug {
    /// Claims an id that is not in use. Of several callers with one id exactly one succeeds; the
    /// others change nothing.
    ///
    /// Errors: `AlreadyExists` when there is a record or somebody is about to write one (at once,
    /// without waiting); `Busy` or `Timeout` when the lock is held for something else.
    fn create(&self, id: &SandboxId, operation: &str, deadline: Duration) -> Result<Claim, Error>;

    /// Takes a lease on a sandbox and reads its record.
    ///
    /// Errors: `NotFound`; `Busy` (deadline zero) or `Timeout` with the holder; `Corrupt` and
    /// `Incompatible` when the record cannot be read: see [`salvage`](Self::salvage).
    fn open(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Lease, Error>;

    /// Reads what is shown of a sandbox as it was last committed, without a lock: it neither waits
    /// for a running operation nor disturbs it.
    ///
    /// Errors: `NotFound`, `Corrupt`, `Incompatible`.
    fn peek(&self, id: &SandboxId) -> Result<Summary, Error>;

    /// Takes an exclusive lease for cleaning up, whatever the record looks like.
    ///
    /// Errors: `NotFound` when there is not even a trace of the sandbox; `Busy`, `Timeout`.
    fn salvage(
        &self,
        id: &SandboxId,
        operation: &str,
        deadline: Duration,
    ) -> Result<Salvage, Error>;

    /// The ids in use, in order, those of interrupted creations included. What does not belong
    /// there is an error of its own (`Corrupt`) and does not hide the rest.
    fn list(&self) -> Result<Vec<Result<SandboxId, Error>>, Error>;

    /// The ledger of a sandbox, without a lease: its supervisor appends while somebody else holds
    /// one.
    fn ledger(&self, id: &SandboxId) -> Ledger;

    /// Removes what killed processes left of their locks. Returns how many.
    fn sweep(&self) -> Result<usize, Error>;
}
