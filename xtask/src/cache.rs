//! The cache: everything that this tool downloads or builds for the host, keyed by content, so
//! that a second run starts at once. Entries appear whole or not at all, and a lock keeps two
//! runs from building the same thing at once.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::cmd::Cmd;
use crate::progress::note;

/// How the names of unfinished entries begin.
const STAGING: &str = ".new-";

/// The cache's directory: `$XDG_CACHE_HOME/virtcontainers`, else `~/.cache/virtcontainers`.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Finds the cache and creates its directory.
    pub(crate) fn open() -> Result<Self> {
        let absolute = |key| {
            std::env::var_os(key)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        let base = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is an absolute path: set one of them")?;
        Self::at(base.join("virtcontainers"))
    }

    /// A cache in `root`.
    pub(crate) fn at(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root)
            .with_context(|| format!("cannot create the cache {}", root.display()))?;
        Ok(Self { root })
    }

    /// A path inside the cache.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.root.join(inside)
    }

    /// Takes the lock of one part of the cache; it is held until the file is dropped.
    pub(crate) fn lock(&self, part: &str) -> Result<File> {
        let path = self.path(format!("{part}.lock"));
        let lock = || -> Result<File> {
            let file = File::create(&path)?;
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            note(format!(
                "waiting for another run that holds {}",
                path.display()
            ));
            file.lock()?;
            Ok(file)
        };
        lock().with_context(|| format!("cannot lock {}", path.display()))
    }

    /// An empty directory in the same file system as the entries of `part`, removed when dropped.
    pub(crate) fn staging(&self, part: &str) -> Result<TempDir> {
        let dir = self.path(part);
        fs::create_dir_all(&dir)?;
        tempfile::Builder::new()
            .prefix(STAGING)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in(&dir)
            .with_context(|| format!("cannot create a directory in {}", dir.display()))
    }

    /// Turns a staging directory into the entry `part/key` and points `part/current` at it.
    pub(crate) fn publish(&self, staging: TempDir, part: &str, key: &str) -> Result<PathBuf> {
        let entry = self.path(part).join(key);
        if entry.exists() {
            fs::remove_dir_all(&entry)
                .with_context(|| format!("cannot replace {}", entry.display()))?;
        }
        fs::rename(staging.path(), &entry)
            .with_context(|| format!("cannot create {}", entry.display()))?;
        // Renamed away: there is nothing left for the guard to remove.
        drop(staging.keep());
        point(&self.path(part).join("current"), Path::new(key))?;
        Ok(entry)
    }

    /// The entry that `part/current` points at, when it is there.
    pub(crate) fn current(&self, part: &str) -> Option<PathBuf> {
        fs::canonicalize(self.path(part).join("current")).ok()
    }

    /// Removes the oldest entries of `part` beyond `keep`, and what killed runs left half done. The
    /// current entry always stays. Only for those who hold the lock under which `part` is filled.
    pub(crate) fn prune(&self, part: &str, keep: usize) -> Result<()> {
        if !self.path(part).exists() {
            return Ok(());
        }
        let current = self.current(part);
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path(part))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() || Some(entry.path()) == current {
                continue;
            }
            if is_staging(&entry.file_name()) {
                fs::remove_dir_all(entry.path())?;
            } else {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort();
        let surplus = (entries.len() + 1).saturating_sub(keep);
        for (_, path) in entries.into_iter().take(surplus) {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove the old entry {}", path.display()))?;
        }
        Ok(())
    }
}

fn is_staging(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(STAGING.as_bytes())
}

/// Makes `link` a symbolic link to `target`, replacing what it was in one step.
pub(crate) fn point(link: &Path, target: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let new = link.with_extension(format!("new-{}", std::process::id()));
    symlink(target, &new)
        .and_then(|()| fs::rename(&new, link))
        .with_context(|| format!("cannot point {} at {}", link.display(), target.display()))
}

/// The SHA-256 of files, in hexadecimal, in the order given. (`sha256sum` is on every Debian and
/// ten times as fast as our own unoptimised build would be.)
pub(crate) fn digests(files: &[PathBuf]) -> Result<Vec<String>> {
    let output = Cmd::new("sha256sum").arg("--").args(files).output()?;
    let text = String::from_utf8(output).context("sha256sum printed something odd")?;
    let sums: Vec<String> = text.lines().map(first_word).collect();
    anyhow::ensure!(sums.len() == files.len(), "sha256sum left files out");
    Ok(sums)
}

/// The SHA-256 of one file, in hexadecimal.
pub(crate) fn digest(file: &Path) -> Result<String> {
    digests(&[file.to_owned()])?
        .pop()
        .context("sha256sum printed nothing")
}

/// The SHA-256 of a text, in hexadecimal.
pub(crate) fn digest_of_text(text: &str) -> Result<String> {
    let output = Cmd::new("sha256sum").filter(text.as_bytes())?;
    Ok(first_word(&String::from_utf8_lossy(&output)))
}

fn first_word(line: &str) -> String {
    // A leading backslash marks a file name with escapes.
    line.trim_start_matches('\\')
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (TempDir, Cache) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(dir.path().join("cache")).expect("a cache");
        (dir, cache)
    }

    fn publish(cache: &Cache, key: &str) -> PathBuf {
        let staging = cache.staging("part").expect("staging");
        fs::write(staging.path().join("file"), key).expect("written");
        cache.publish(staging, "part", key).expect("published")
    }

    #[test]
    fn current_is_the_entry_published_last() {
        let (_dir, cache) = cache();
        assert_eq!(cache.current("part"), None);
        publish(&cache, "one");
        let two = publish(&cache, "two");
        assert_eq!(cache.current("part"), Some(two));
    }

    #[test]
    fn pruning_keeps_the_youngest_and_the_current() {
        let (_dir, cache) = cache();
        let old = publish(&cache, "old");
        for key in ["a", "b", "c"] {
            publish(&cache, key);
        }
        publish(&cache, "old");
        let half_done = cache.staging("part").expect("staging").keep();
        cache.prune("part", 3).expect("pruned");
        assert!(!half_done.exists(), "what a killed run left goes too");
        assert!(old.exists(), "the current entry stays whatever its age");
        assert_eq!(
            ["a", "b", "c"].map(|key| cache.path("part").join(key).exists()),
            [false, true, true]
        );
    }

    #[test]
    fn a_text_has_its_known_digest() {
        let digest = digest_of_text("abc").expect("sha256sum runs");
        assert_eq!(
            digest,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_new_cache_has_nothing_to_prune() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(dir.path().join("new")).expect("a cache");
        cache.prune("tools", 3).expect("nothing to do");
    }
}
