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
    // A control character in it is no text of anybody's, but perhaps a second line.
    if let Some(line) = lines.iter().find(|line| line.contains(is_control)) {
        return Err(Failure::invalid(format!(
            "the line {line:?} of dns contains a control character"
        )));
    }
    std::fs::write(file, lines.join("\n") + "\n").doing(|| format!("write {}", file.display()))?;
    if !Path::new(TARGET).is_file() {
        log::warn!("dns: the guest has no file {TARGET} that could be covered");
        return Ok(());
    }
    rustix::mount::mount_bind(file, TARGET).doing(|| format!("bind {} on {TARGET}", file.display()))
}

fn is_control(letter: char) -> bool {
    letter.is_control() && letter != '\t'
}

/// Uncovers the guest's own again, if [`apply`] covered it.
pub(super) fn undo(file: &Path) {
    if file.exists()
        && let Err(errno) = rustix::mount::unmount(TARGET, UnmountFlags::DETACH)
    {
        log::debug!("unmount {TARGET}: {errno}");
    }
}
