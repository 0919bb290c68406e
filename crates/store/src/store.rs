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
    /// others change nothing. An id of which only a trace is left (an earlier creation was
    /// interrupted before its first record) is not in use; its ledger stays.
    ///
    /// Errors: `AlreadyExists` when there is a record or somebody is about to write one (at once,
    /// without waiting); `Busy` or `Timeout` when the lock is held for something else; `Denied`,
    /// `Internal`.
    fn create(&self, id: &SandboxId, operation: &str, deadline: Duration) -> Result<Claim, Error>;

    /// Takes a lease on a sandbox and reads its record, which is checked as a whole. A sandbox that
    /// is being created is waited for as for any other holder.
    ///
    /// Errors: `NotFound`, also when there is only a trace; `Busy` (deadline zero) or `Timeout` with
    /// the holder; `Corrupt` and `Incompatible` when the record cannot be read: see
    /// [`salvage`](Self::salvage); `Denied`, `Internal`.
    fn open(
        &self,
        id: &SandboxId,
        mode: LeaseMode,
        operation: &str,
        deadline: Duration,
    ) -> Result<Lease, Error>;

    /// Reads what is shown of a sandbox as it was last committed, without a lock: it neither waits
    /// for a running operation nor disturbs it. Configurations and plan are not looked at; damage
    /// to them is found when the record is opened, unless bytes are missing.
    ///
    /// Errors: `NotFound`, also when there is only a trace; `Corrupt`, `Incompatible`, `Denied`,
    /// `Internal`.
    fn peek(&self, id: &SandboxId) -> Result<Summary, Error>;

    /// Takes an exclusive lease for cleaning up, whatever the record looks like, or if there is
    /// only a trace.
    ///
    /// Errors: `NotFound` when there is not even that; `Busy`, `Timeout`, `Denied`, `Internal`.
    fn salvage(
        &self,
        id: &SandboxId,
        operation: &str,
        deadline: Duration,
    ) -> Result<Salvage, Error>;

    /// The ids with a record or a trace, in the order of their bytes. What does not belong there is
    /// an error of its own (`Corrupt`) and does not hide the rest.
    ///
    /// Errors: `Denied`, `Internal`.
    fn list(&self) -> Result<Vec<Result<SandboxId, Error>>, Error>;

    /// The ledger of a sandbox, without a lease: its supervisor appends while somebody else holds
    /// one. Where there is not even a trace of the sandbox, it has no entries and takes none.
    fn ledger(&self, id: &SandboxId) -> Ledger;

    /// Removes what killed processes left of their locks. Returns how many. Sandboxes, traces and
    /// locks that are held stay.
    ///
    /// Errors: `Denied`, `Internal`.
    fn sweep(&self) -> Result<usize, Error>;
}
