//! Free annotations of a sandbox.

use std::collections::BTreeMap;

use tracing::instrument;
use virtcontainers_types::{Operation, SandboxId};

use crate::error::Error;
use crate::runtime::Runtime;

impl Runtime {
    /// The annotations of a sandbox.
    ///
    /// Errors: as [`status_sandbox`](Self::status_sandbox). Safe to drop.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn annotations(&self, id: &SandboxId) -> Result<BTreeMap<String, String>, Error> {
        Ok(self.peek(id).await?.annotations)
    }

    /// Adds annotations to those of a sandbox, in the place of those of the same name. They are
    /// stored.
    ///
    /// Errors: `NotFound`, `Timeout`. Safe to drop: all are stored, or none.
    #[instrument(skip_all, fields(subsystem = "sandbox", sandbox = %id))]
    pub async fn set_annotations(
        &self,
        id: &SandboxId,
        annotations: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let mut lease = self.exclusive(Operation::SetAnnotations, id, None).await?;
        let mut record = lease.record().clone();
        record.annotations.extend(annotations);
        Self::commit(&mut lease, record)
    }
}
