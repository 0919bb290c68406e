//! A state root of one run's own, so that the run leaves nothing in the default one.

use std::fs::remove_dir;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders that `vc` makes in a state root.
const FOLDERS: [&str; 4] = ["locks", "machines", "sandboxes", "shares"];

/// The root, removed when dropped. Only empty directories are removed, never what is in them: a
/// mount that could not be undone leads to files of the user's.
#[derive(Debug)]
pub(super) struct StateRoot(PathBuf);

impl StateRoot {
    /// A new, empty root.
    pub(super) fn create() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("vc-state-")
            .tempdir()
            .context("cannot create a directory for the state")?;
        Ok(Self(dir.keep()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for StateRoot {
    fn drop(&mut self) {
        for folder in FOLDERS {
            // Not there, or not empty: the last removal tells.
            remove_dir(self.0.join(folder)).unwrap_or_default();
        }
        if let Err(error) = remove_dir(&self.0) {
            let root = self.0.display();
            eprintln!("[xtask] {root} is not empty ({error}): see `vc --root {root} list`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unused_root_goes_and_one_with_files_stays() {
        let unused = StateRoot::create().expect("a root");
        std::fs::create_dir(unused.path().join("locks")).expect("made");
        let path = unused.path().to_owned();
        drop(unused);
        assert!(!path.exists());

        let used = StateRoot::create().expect("a root");
        let file = used.path().join("file");
        std::fs::write(&file, "of the user's").expect("written");
        drop(used);
        assert!(file.exists());
        std::fs::remove_dir_all(file.parent().expect("a root")).expect("removed");
    }
}
