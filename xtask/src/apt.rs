//! Debian's package tools: install packages, or download one without installing it. Package lists
//! are refreshed at most once per run, and only when something is not found in them.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cmd::{Cmd, is_installed};
use crate::progress::note;

/// Access to the machine's package tools.
#[derive(Debug, Default)]
pub(crate) struct Apt {
    refreshed: Cell<bool>,
}

/// One package of the archive in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// The package's name.
    pub(crate) name: String,
    /// The full version, epoch and revision included.
    pub(crate) version: String,
}

impl Apt {
    /// Whether this machine has Debian's package tools.
    pub(crate) fn exists() -> bool {
        is_installed("apt-get") && is_installed("dpkg-deb")
    }

    /// Installs packages without what they merely recommend. Needs root.
    pub(crate) fn install(&self, packages: &[&str]) -> Result<()> {
        self.with_fresh_lists(|| {
            self.apt_get(&["install", "--yes", "--no-install-recommends"])
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(packages)
                .run()
        })
    }

    /// What the archive offers under `name`.
    pub(crate) fn candidate(&self, name: &str) -> Result<Package> {
        self.with_fresh_lists(|| {
            let version = field(&self.show(name)?, "Version")
                .with_context(|| format!("no package {name} in the package lists"))?;
            Ok(Package {
                name: name.to_owned(),
                version,
            })
        })
    }

    /// The package that the meta package `name` depends on first, in the version that it names.
    pub(crate) fn behind(&self, name: &str) -> Result<Package> {
        self.with_fresh_lists(|| {
            let depends = field(&self.show(name)?, "Depends")
                .with_context(|| format!("the package {name} depends on nothing"))?;
            pinned_dependency(&depends)
                .with_context(|| format!("the package {name} does not name a version: {depends}"))
        })
    }

    /// Downloads `package` into `dir`, verified by apt, and returns the file.
    pub(crate) fn download(&self, package: &Package, dir: &Path) -> Result<PathBuf> {
        note(format!("downloading {} {}", package.name, package.version));
        self.with_fresh_lists(|| {
            // apt would drop to its own user, who may not write into our cache.
            self.apt_get(&["download", "-o", "APT::Sandbox::User=root"])
                .arg(format!("{}={}", package.name, package.version))
                .cwd(dir)
                .run()
        })?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with(&format!("{}_", package.name)) && name.ends_with(".deb") {
                found.push(path);
            }
        }
        ensure!(
            found.len() == 1,
            "apt-get download left {} files in {}",
            found.len(),
            dir.display()
        );
        found.pop().context("apt-get download left no file")
    }

    fn apt_get(&self, words: &[&str]) -> Cmd {
        let patience = [
            "-q",
            "-o",
            "Acquire::Retries=3",
            "-o",
            "DPkg::Lock::Timeout=120",
        ];
        Cmd::new("apt-get").args(patience).args(words)
    }

    fn show(&self, name: &str) -> Result<String> {
        let output = Cmd::new("apt-cache")
            .args(["show", "--no-all-versions", name])
            .output()?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Tries, and tries once more with fresh package lists when they may have been the reason.
    fn with_fresh_lists<T>(&self, attempt: impl Fn() -> Result<T>) -> Result<T> {
        if !has_lists() && !self.refreshed.replace(true) {
            self.refresh()?;
        }
        let first = match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if self.refreshed.replace(true) {
            return Err(first);
        }
        let refreshed = self.refresh();
        attempt().map_err(|second| match refreshed {
            Ok(()) => second,
            Err(update) => second.context(update.to_string()),
        })
    }

    fn refresh(&self) -> Result<()> {
        note("refreshing the package lists (apt-get update)");
        self.apt_get(&["update"]).run().context(
            "the package lists could not be refreshed: is the network up, and is this root?",
        )
    }
}

/// Whether this machine has package lists at all, which a fresh one often has not.
fn has_lists() -> bool {
    let Ok(mut lists) = std::fs::read_dir("/var/lib/apt/lists") else {
        return false;
    };
    lists.any(|entry| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    })
}

/// Unpacks a package into `dir` without installing it.
pub(crate) fn unpack(deb: &Path, dir: &Path) -> Result<()> {
    Cmd::new("dpkg-deb").arg("--extract").args([deb, dir]).run()
}

/// Fails, naming what to fetch by hand, on a machine without Debian's package tools.
pub(crate) fn require(what: &str) -> Result<()> {
    if Apt::exists() {
        return Ok(());
    }
    bail!(
        "{what} comes from a Debian package, and this machine has no apt-get and dpkg-deb: \
         install them, or run this task on Debian"
    )
}

/// The value of a field of the first paragraph of package metadata.
fn field(metadata: &str, name: &str) -> Option<String> {
    metadata
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// The first dependency, when it is of the form `name (= version)`.
fn pinned_dependency(depends: &str) -> Option<Package> {
    let first = depends.split([',', '|']).next()?.trim();
    let (name, rest) = first.split_once(' ')?;
    let version = rest.trim().strip_prefix("(=")?.strip_suffix(')')?.trim();
    Some(Package {
        name: name.to_owned(),
        version: version.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\n\
                        Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n\n\
                        Package: other\nSection: kernel\n";

    #[test]
    fn fields_come_from_the_first_paragraph_only() {
        assert_eq!(field(META, "Version").as_deref(), Some("6.1.192-2"));
        assert_eq!(field(META, "Section"), None);
    }

    #[test]
    fn a_meta_package_leads_to_the_package_it_pins() {
        let depends = field(META, "Depends").expect("has dependencies");
        let package = pinned_dependency(&depends).expect("pinned");
        assert_eq!(package.name, "linux-image-6.1.0-56-cloud-amd64");
        assert_eq!(package.version, "6.1.192-2");
        assert_eq!(pinned_dependency("libc6 (>= 2.36), zlib1g"), None);
        assert_eq!(pinned_dependency("libc6"), None);
    }
}
