//! Keeps the machine's interfaces those of its namespace, where that is configured: managers connect
//! containers that run to further networks, and tell nobody but the kernel.

use std::os::fd::AsFd;
use std::time::Duration;

use virtcontainers_network::Watch;
use virtcontainers_process::Readable;
use virtcontainers_types::SandboxId;

use crate::error::{Context, Error, ErrorKind};
use crate::last_words::in_one_line;
use crate::runtime::Runtime;

/// How long a namespace has to be quiet before it is looked at: whoever makes an interface gives it
/// its addresses and routes one by one.
const SETTLED: Duration = Duration::from_millis(100);

/// Follows what `watch` tells of, for as long as the future is not dropped.
pub(super) async fn follow(runtime: Runtime, id: SandboxId, watch: Watch) {
    if let Err(error) = follow_until_it_fails(&runtime, &id, &watch).await {
        let error = in_one_line(&error);
        tracing::warn!(sandbox = %id, error, "the interfaces of the namespace are not followed");
    }
}

async fn follow_until_it_fails(
    runtime: &Runtime,
    id: &SandboxId,
    watch: &Watch,
) -> Result<(), Error> {
    let failed = || "cannot watch the namespace".to_owned();
    let socket = watch.as_fd().try_clone_to_owned();
    let socket =
        socket.map_err(|error| Error::new(ErrorKind::Internal, failed()).because(error))?;
    let news = Readable::watch(socket).during(failed)?;
    loop {
        // At first too: something may have come since the boot looked.
        if let Err(error) = runtime.follow(id).await {
            // Paused, or ending: it is looked at again after the next change.
            let error = in_one_line(&error);
            tracing::warn!(sandbox = %id, error, "a change of the namespace is not followed");
        }
        news.wait().await.during(failed)?;
        watch.drain().during(failed)?;
        while let Ok(more) = tokio::time::timeout(SETTLED, news.wait()).await {
            more.during(failed)?;
            watch.drain().during(failed)?;
        }
    }
}
