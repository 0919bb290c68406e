//! Work that blocks, kept off the event loop.

use crate::status::{Failure, Result};

/// Runs `work` on a helper thread. Dropping the future lets it run on.
///
/// # Errors
/// Those of `work`; INTERNAL when it panics.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Failure::internal(error.to_string())))
}
