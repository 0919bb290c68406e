//! Where this workspace lies.

use std::path::PathBuf;

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    // This package is a direct child of the root.
    manifest_dir
        .parent()
        .map_or(manifest_dir.clone(), PathBuf::from)
}
