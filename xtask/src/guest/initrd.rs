//! The layout of the initial root file system: the agent as `/init`, the mount points that it
//! needs, and the modules in `/lib/modules/vc` with the file `groups` that says how they load. A
//! second image also has a shell, for those who ask for a debug console.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::modules::Picked;

/// Names the layout that this builder writes; a change of the layout changes it, so that guests
/// in the cache are built anew.
pub(super) const BUILDER: &str = "xtask-guest-3";

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

/// What a shell needs: directories of the containers' root file system, whose programs are links to
/// one busybox, and the files that give names to users.
const SHELL_DIRECTORIES: &[&str] = &["bin", "sbin", "usr", "usr/bin", "usr/sbin"];
const SHELL_FILES: &[&str] = &["etc/passwd", "etc/group"];

/// Writes the image; with the programs of `shell`, a root file system, if there is one.
pub(super) fn write(
    image: &Path,
    agent: &Path,
    modules: &Picked,
    shell: Option<&Path>,
) -> Result<()> {
    let program = fs::read(agent).with_context(|| format!("cannot read {}", agent.display()))?;
    let write = || -> io::Result<()> {
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
        if let Some(root) = shell {
            add_shell(&mut archive, root)?;
        }
        archive.file("init", 0o755, &program)?;
        archive.finish()?.into_inner()?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", image.display()))
}

fn add_shell<W: Write>(archive: &mut Archive<W>, root: &Path) -> io::Result<()> {
    for directory in SHELL_DIRECTORIES {
        archive.directory(directory, 0o755)?;
    }
    for name in SHELL_FILES {
        archive.file(name, 0o644, &fs::read(root.join(name))?)?;
    }
    for directory in SHELL_DIRECTORIES {
        for path in entries(&root.join(directory))? {
            let name = path.strip_prefix(root).map_err(io::Error::other)?;
            let name = name.to_string_lossy();
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_symlink() {
                archive.link(&name, &fs::read_link(&path)?.to_string_lossy())?;
            } else if kind.is_file() {
                archive.file(&name, 0o755, &fs::read(&path)?)?;
            }
        }
    }
    Ok(())
}

/// What is in a directory, by name, so that equal content gives equal images.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut paths = listed.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_there_with_its_links_when_it_is_wanted() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path();
        for directory in SHELL_DIRECTORIES.iter().chain(&["etc"]) {
            fs::create_dir_all(root.join(directory)).expect("made");
        }
        for file in SHELL_FILES.iter().chain(&["bin/busybox"]) {
            fs::write(root.join(file), file).expect("written");
        }
        std::os::unix::fs::symlink("../../bin/busybox", root.join("usr/bin/env")).expect("linked");
        let mut archive = Archive::new(Vec::new());
        add_shell(&mut archive, root).expect("added");
        let bytes = archive.finish().expect("finished");
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(has(b"bin/busybox\0"));
        assert!(has(b"usr/bin/env\0") && has(b"../../bin/busybox"));
        assert!(has(b"etc/passwd\0"));
    }
}
