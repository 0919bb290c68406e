//! A container's files as the process that stands for it shows them on the host.

use virtcontainers_oci::{Route, host_binds};
use virtcontainers_share::{View, Volume};
use virtcontainers_types::ContainerConfig;

use super::source::route_of;
use crate::error::Error;

/// The root file system and the volumes that are the host's. `member`: the container joins the
/// sandbox of another. Nothing is changed.
///
/// Errors: `NotFound` for a volume that is gone.
pub(crate) fn view_of(container: &ContainerConfig, member: bool) -> Result<View, Error> {
    let mut volumes = Vec::new();
    for bind in host_binds(&container.spec) {
        match route_of(&bind, member)? {
            Route::Shared => volumes.push(Volume {
                source: bind.source,
                destination: bind.destination,
                read_only: bind.read_only,
                recursive: bind.recursive,
            }),
            // The guest has these for itself.
            Route::Guest | Route::Ephemeral { .. } | Route::Local { .. } => {}
        }
    }
    Ok(View {
        root: container.rootfs.host().map(Into::into),
        read_only: container
            .spec
            .root()
            .as_ref()
            .and_then(|root| root.readonly())
            .unwrap_or(false),
        volumes,
    })
}
