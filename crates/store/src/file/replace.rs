//! Replacing a file's content so that a crash at any point leaves the old or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The steps in their order; tests end the world between any two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The temporary file is there, empty.
    Created,
    /// It has the new content.
    Written,
    /// Its content is on the disk.
    Synced,
    /// It has the name; the old content is gone.
    Renamed,
    /// The name is on the disk.
    DirectorySynced,
}

/// Replaces `directory/name` by way of `directory/temporary`. The caller sees to it that nobody
/// else does so at the same time.
pub(super) fn replace(
    directory: &Path,
    name: &str,
    temporary: &str,
    content: &[u8],
    after: &mut dyn FnMut(Step) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = directory.join(temporary);
    let result = write_and_rename(directory, name, &temporary, content, after);
    if result.is_err() {
        // The first error counts; a leftover is overwritten by the next replacement.
        let _ignored = fs::remove_file(&temporary);
    }
    result
}

fn write_and_rename(
    directory: &Path,
    name: &str,
    temporary: &Path,
    content: &[u8],
    after: &mut dyn FnMut(Step) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temporary)?;
    after(Step::Created)?;
    file.write_all(content)?;
    after(Step::Written)?;
    file.sync_all()?;
    after(Step::Synced)?;
    fs::rename(temporary, directory.join(name))?;
    after(Step::Renamed)?;
    File::open(directory)?.sync_all()?;
    after(Step::DirectorySynced)
}
