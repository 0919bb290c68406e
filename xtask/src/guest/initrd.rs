//! The layout of the initial root file system: the agent as `/init`, the mount points that it
//! needs, and the modules in `/lib/modules/vc` with the file `groups` that says how they load.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::modules::Picked;

/// Names the layout that this builder writes; a change of the layout changes it, so that guests
/// in the cache are built anew.
pub(super) const BUILDER: &str = "xtask-guest-1";

const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("lib", 0o755),
    ("lib/modules", 0o755),
    ("lib/modules/vc", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
];

/// Writes the image.
pub(super) fn write(image: &Path, agent: &Path, modules: &Picked) -> Result<()> {
    let program = fs::read(agent).with_context(|| format!("cannot read {}", agent.display()))?;
    let write = || -> std::io::Result<()> {
        let mut archive = Archive::new(BufWriter::new(File::create(image)?));
        for (path, mode) in DIRECTORIES {
            archive.directory(path, *mode)?;
        }
        archive.link("var/run", "/run")?;
        // The kernel opens it for PID 1 before anything is mounted.
        archive.character_device("dev/console", (5, 1))?;
        // The host may fill it in; containers get it by bind mount, which needs a plain file.
        archive.file("etc/resolv.conf", 0o644, b"")?;
        for (name, content) in &modules.files {
            archive.file(&format!("lib/modules/vc/{name}"), 0o644, content)?;
        }
        archive.file("lib/modules/vc/groups", 0o644, modules.groups.as_bytes())?;
        archive.file("init", 0o755, &program)?;
        archive.finish()?.into_inner()?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", image.display()))
}
