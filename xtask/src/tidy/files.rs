//! The files of the workspace that the rules look at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the workspace's root, with `/` between the parts.
    pub(super) path: String,
    /// What is in it.
    pub(super) text: String,
}

impl File {
    /// The crate's folder below `crates/`, when the file is in one.
    pub(super) fn krate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// Whether the file was written by a generator.
    pub(super) fn is_generated(&self) -> bool {
        self.path.contains("/src/generated/")
    }
}

/// Texts that rules read, and the names of everything else.
#[derive(Debug, Default)]
pub(super) struct Files {
    texts: BTreeMap<String, File>,
    names: BTreeSet<String>,
}

/// Folders that are not ours to look at.
const SKIPPED: &[&str] = &["target", ".git"];

impl Files {
    /// Reads the workspace at `root`.
    pub(super) fn collect(root: &Path) -> Result<Self> {
        let mut files = Self::default();
        files.walk(root, "")?;
        Ok(files)
    }

    fn walk(&mut self, root: &Path, folder: &str) -> Result<()> {
        let dir = root.join(folder);
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            };
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                self.names.insert(path.clone());
                self.walk(root, &path)?;
            } else if kind.is_file() {
                self.add_from(root, path)?;
            }
        }
        Ok(())
    }

    fn add_from(&mut self, root: &Path, path: String) -> Result<()> {
        let is_read = [".rs", ".md", ".toml"]
            .iter()
            .any(|end| path.ends_with(end))
            || path == super::beside::GATE_SCRIPT;
        if is_read {
            let text = fs::read_to_string(root.join(&path))
                .with_context(|| format!("cannot read {path}"))?;
            self.add(&path, &text);
        } else {
            self.names.insert(path);
        }
        Ok(())
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &str, text: &str) {
        self.names.insert(path.to_owned());
        self.texts.insert(
            path.to_owned(),
            File {
                path: path.to_owned(),
                text: text.to_owned(),
            },
        );
    }

    /// Whether there is a file or a folder of this name.
    pub(super) fn has(&self, path: &str) -> bool {
        self.names.contains(path)
    }

    /// The text of a file that rules read.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(|file| file.text.as_str())
    }

    /// The Rust files that people wrote.
    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.ending(".rs").filter(|file| !file.is_generated())
    }

    /// The documents.
    pub(super) fn markdown(&self) -> impl Iterator<Item = &File> {
        self.ending(".md")
    }

    /// The folders of library crates.
    pub(super) fn library_crates(&self) -> Vec<&str> {
        let libraries = self.texts.values().filter(|file| {
            file.krate()
                .is_some_and(|name| file.path == format!("crates/{name}/src/lib.rs"))
        });
        libraries.filter_map(File::krate).collect()
    }

    fn ending(&self, end: &'static str) -> impl Iterator<Item = &File> {
        self.texts
            .values()
            .filter(move |file| file.path.ends_with(end))
    }
}
