//! The guest's `/etc/resolv.conf`, from the lines of the request.

use std::path::Path;

use rustix::mount::UnmountFlags;

use crate::status::{Doing as _, Failure, Result};

const TARGET: &str = "/etc/resolv.conf";

/// Writes the lines to `file` and binds it over the guest's own. Without lines, or without a file
/// to cover, nothing happens.
pub(super) fn apply(lines: &[String], file: &Path) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    if lines.iter().any(|line| line.contains('\n')) {
        return Err(Failure::invalid("a line of dns contains a line break"));
    }
    std::fs::write(file, lines.join("\n") + "\n").doing(|| format!("write {}", file.display()))?;
    if !Path::new(TARGET).is_file() {
        return Ok(());
    }
    rustix::mount::mount_bind(file, TARGET).doing(|| format!("bind {} on {TARGET}", file.display()))
}

/// Uncovers the guest's own again, if [`apply`] covered it.
pub(super) fn undo(file: &Path) {
    if file.exists()
        && let Err(errno) = rustix::mount::unmount(TARGET, UnmountFlags::DETACH)
    {
        log::debug!("unmount {TARGET}: {errno}");
    }
}
