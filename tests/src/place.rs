//! A place of a test's own: state root, root file system, ids that nobody else uses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::inventory::Inventory;
use crate::links::{assert_same, inventory_of_host};
use crate::program::Program;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Where one test works. Checks at its end that nothing was left.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    root: PathBuf,
    prefix: String,
    before: Inventory,
    /// The host's links, routes and so on, for a test that makes networks.
    network: OnceLock<BTreeSet<String>>,
}

impl Place {
    /// A new place with a private copy of the root file system.
    pub fn new() -> Result<Self> {
        Self::with_root("state")
    }

    /// As [`new`](Self::new), with the state root at a relative path of the caller's choice.
    pub fn with_root(root: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("vct").tempdir()?;
        let rootfs = directory.path().join("rootfs");
        copy_tree(&rootfs_template()?, &rootfs)?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("t{}-{number}", std::process::id());
        let root = directory.path().join(root);
        let before = Inventory::take(&prefix, &root)?;
        Ok(Self {
            directory,
            root,
            prefix,
            before,
            network: OnceLock::new(),
        })
    }

    /// A file or directory of the test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The state root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The root file system of the test's containers.
    pub fn rootfs(&self) -> PathBuf {
        self.path("rootfs")
    }

    /// An id that no other test uses.
    pub fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// What the names of the test's own things on the host begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `vc` with this place's state root and these arguments.
    pub fn vc<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Program {
        let mut program = Program::new(vc_program()).arg("--root").arg(&self.root);
        for arg in args {
            program = program.arg(arg);
        }
        program
    }

    /// `vc run` of a command in this place's root file system, with further options before the id.
    pub fn run<'a>(
        &self,
        id: &str,
        options: impl IntoIterator<Item = &'a str>,
        command: impl IntoIterator<Item = &'a str>,
    ) -> Program {
        let mut program = self.vc(["run"]).arg("--rootfs").arg(self.rootfs());
        for option in options {
            program = program.arg(option);
        }
        program = program.arg(id).arg("--");
        for word in command {
            program = program.arg(word);
        }
        program
    }

    /// Remembers the host's network as it is now, if nothing was remembered before.
    pub(crate) fn remember_network(&self) -> Result<()> {
        if self.network.get().is_none() {
            // Who was faster remembered the same.
            self.network.set(inventory_of_host()?).unwrap_or_default();
        }
        Ok(())
    }

    /// Fails if anything that bears this place's ids or root is there that was not at the start, or if
    /// the host's network is not what it was before the test made one.
    pub fn assert_clean(&self) -> Result<()> {
        let after = Inventory::take(&self.prefix, &self.root)?;
        let left = after.since(&self.before);
        anyhow::ensure!(left.is_empty(), "left behind: {left:#?}");
        match self.network.get() {
            Some(before) => assert_same("the host", &inventory_of_host()?, before),
            None => Ok(()),
        }
    }
}

impl Drop for Place {
    /// What a failed test left running is ended here, so that it does not disturb the next.
    fn drop(&mut self) {
        let Ok(list) = self.vc(["list", "--quiet"]).finish() else {
            return;
        };
        for id in list.text().lines() {
            if let Err(error) = self.vc(["delete", "--force", id]).finish() {
                eprintln!("cannot delete {id}: {error}");
            }
        }
    }
}

/// The program under test.
pub fn vc_program() -> PathBuf {
    from_environment("VC_BIN")
}

fn rootfs_template() -> Result<PathBuf> {
    let path = from_environment("VC_TEST_ROOTFS");
    anyhow::ensure!(
        path.join("bin/busybox").exists(),
        "no busybox in {}",
        path.display()
    );
    Ok(path)
}

/// These tests need what `cargo xtask test` and `cargo xtask e2e` build and name.
fn from_environment(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(path) => path.into(),
        None => PathBuf::from(format!("/{name}-is-not-set-run-cargo-xtask-e2e")),
    }
}

/// Copies files, directories and links; modes are kept.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
