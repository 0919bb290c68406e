//! Kernel modules that the initrd carries, loaded by group.
//!
//! `/lib/modules/vc/groups` has one line per group, `name: file.ko file.ko …`, in load order. The
//! group `boot` is loaded at the start, the others when something needs them. A group or file that
//! is not there means that the kernel has it built in: that is no error here, and whoever needed
//! it finds out by its own call.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::blocking::blocking;
use crate::status::{Doing as _, Failure, Result};

/// Group loaded before the agent listens.
pub(crate) const BOOT: &str = "boot";

/// Group for virtio network interfaces.
pub(crate) const NET: &str = "net";

/// Group for virtio disks.
pub(crate) const BLOCK: &str = "block";

/// The modules of the initrd. A clone shares what is known to be loaded.
#[derive(Debug, Clone)]
pub(crate) struct Modules {
    folder: Arc<PathBuf>,
    loaded: Arc<Mutex<HashSet<String>>>,
}

impl Modules {
    /// Modules found in `folder`, which need not exist.
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Arc::new(folder.into()),
            loaded: Arc::default(),
        }
    }

    /// Loads a group, once. Blocks for as long as the kernel takes.
    pub(crate) fn load_group(&self, group: &str) {
        // Held while loading: a second caller must not go on before the modules are there.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if !loaded.insert(group.to_owned()) {
            return;
        }
        let Ok(groups) = std::fs::read_to_string(self.folder.join("groups")) else {
            return;
        };
        for file in files_of(&groups, group) {
            if let Err(error) = insert(&self.folder.join(file), "") {
                log::warn!("load module {file} of group {group}: {error}");
            }
        }
    }

    /// Loads groups, each once, while the event loop goes on.
    ///
    /// # Errors
    /// INTERNAL only when the helper thread fails.
    pub(crate) async fn load<'a>(&self, groups: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let missing: Vec<String> = {
            let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            groups
                .into_iter()
                .filter(|group| !loaded.contains(*group))
                .map(str::to_owned)
                .collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let modules = self.clone();
        blocking(move || {
            missing.iter().for_each(|group| modules.load_group(group));
            Ok(())
        })
        .await
    }

    /// Loads one module by name with its parameters. `false`: the initrd does not have it.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a name that is no module's, INTERNAL when the kernel refuses.
    pub(crate) fn load_one(&self, name: &str, parameters: &[String]) -> Result<bool> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(letter) {
            return Err(Failure::invalid(format!(
                "{name:?} is not a kernel module's name"
            )));
        }
        for spelling in [
            name.to_owned(),
            name.replace('-', "_"),
            name.replace('_', "-"),
        ] {
            let file = self.folder.join(format!("{spelling}.ko"));
            if file.exists() {
                insert(&file, &parameters.join(" ")).doing(|| format!("load module {name}"))?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The files of one group, in order.
fn files_of<'a>(groups: &'a str, wanted: &str) -> impl Iterator<Item = &'a str> {
    groups
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == wanted)
        .map_or("", |(_, files)| files)
        .split_ascii_whitespace()
        .filter(|file| !file.contains('/'))
}

/// Gives a file to the kernel. One that is not there or already loaded is fine.
fn insert(file: &Path, parameters: &str) -> io::Result<()> {
    let module = match File::open(file) {
        Ok(module) => module,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let parameters =
        CString::new(parameters).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    match rustix::system::finit_module(module, &parameters, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "boot: virtio_ring.ko virtio.ko\n\nnet: a.ko ../b.ko c.ko\nempty:\n";

    fn files(group: &str) -> Vec<&str> {
        files_of(GROUPS, group).collect()
    }

    #[test]
    fn groups_keep_their_order_and_stay_in_the_folder() {
        assert_eq!(files("boot"), ["virtio_ring.ko", "virtio.ko"]);
        assert_eq!(files("net"), ["a.ko", "c.ko"]);
        assert_eq!(files("empty"), [""; 0]);
        assert_eq!(files("missing"), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_built_in() {
        let modules = Modules::new("/nonexistent");
        modules.load_group(BOOT);
        assert_eq!(modules.load_one("loop", &[]), Ok(false));
        assert!(modules.load_one("../loop", &[]).is_err());
        assert!(modules.load_one("", &[]).is_err());
    }
}
