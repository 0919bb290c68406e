//! A directory of one case, in memory where there is such a place, and a name that is unique on the
//! host.

use std::path::Path;

use tempfile::TempDir;

const MEMORY: &str = "/dev/shm";

/// Removed when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    name: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let mut place = tempfile::Builder::new();
        place.prefix("vc-faults-");
        let directory = match Path::new(MEMORY).is_dir() {
            true => place.tempdir_in(MEMORY).unwrap(),
            false => place.tempdir().unwrap(),
        };
        let name = directory.path().file_name().unwrap();
        let name = name.to_string_lossy().into_owned();
        Self { directory, name }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
