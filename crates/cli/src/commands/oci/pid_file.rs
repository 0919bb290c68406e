//! Pid files: a manager takes one that appears for the end of a creation.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// A pid file that can be written.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Refuses what cannot be written, before anything is made.
    pub(super) fn at(path: &Path) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        ensure!(
            folder.is_dir(),
            "the pid file {} cannot be written: there is no folder {}",
            path.display(),
            folder.display()
        );
        ensure!(
            !path.is_dir(),
            "the pid file {} cannot be written: it is a folder",
            path.display()
        );
        Ok(Self(path))
    }

    /// Writes it: whoever sees the file sees the whole number.
    pub(super) fn write(&self, pid: u32) -> anyhow::Result<()> {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        let new = self
            .0
            .with_file_name(format!(".{name}-{}", std::process::id()));
        let written = File::create(&new)
            .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
            .and_then(|()| std::fs::rename(&new, &self.0));
        if written.is_err() {
            // What it is told of is why it could not be written.
            std::fs::remove_file(&new).unwrap_or_default();
        }
        written.with_context(|| format!("cannot write the pid file {}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_alone_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.pid");
        std::fs::write(&path, "an older one").unwrap();
        PidFile::at(&path).unwrap().write(4711).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "4711");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        assert!(PidFile::at(folder.path()).is_err());
        assert!(PidFile::at(&folder.path().join("nosuch/pid")).is_err());
    }
}
