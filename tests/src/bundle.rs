//! An OCI bundle in a test's own place.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::place::Place;
use crate::program::Program;

/// A bundle whose specification is that of `vc spec`, without a terminal and with a root that can be
/// written, until the test changes it.
#[derive(Debug)]
pub struct Bundle<'a> {
    place: &'a Place,
    directory: PathBuf,
    /// What `config.json` will be.
    pub spec: Value,
}

impl<'a> Bundle<'a> {
    /// A bundle of the place's root file system that runs `script` in a shell.
    pub fn new(place: &'a Place, script: &str) -> Result<Self> {
        let directory = place.path("bundle");
        if !directory.exists() {
            std::fs::create_dir(&directory)?;
            let bundle = directory.to_str().context("a path that is text")?;
            place.vc(["spec", "--bundle", bundle]).finish()?.expect(0)?;
            std::fs::rename(directory.join("config.json"), directory.join("template"))?;
        }
        let text = std::fs::read(directory.join("template"))?;
        let mut spec: Value = serde_json::from_slice(&text)?;
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", script]);
        spec["root"] = json!({ "path": place.rootfs() });
        Ok(Self {
            place,
            directory,
            spec,
        })
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds a mount, after the others.
    #[must_use]
    pub fn mount(mut self, kind: &str, source: &Path, destination: &str, options: &[&str]) -> Self {
        let mount = json!({
            "type": kind, "source": source, "destination": destination, "options": options,
        });
        if let Some(mounts) = self.spec["mounts"].as_array_mut() {
            mounts.push(mount);
        }
        self
    }

    /// Joins a network namespace.
    pub fn in_network(mut self, namespace: &Path) -> Result<Self> {
        let namespaces = self.spec["linux"]["namespaces"].as_array_mut();
        let mut namespaces = namespaces.context("no namespaces")?.iter_mut();
        let network = namespaces.find(|one| one["type"] == "network");
        network.context("no network namespace")?["path"] = json!(namespace);
        Ok(self)
    }

    /// Writes its `config.json`.
    pub fn write(&self) -> Result<()> {
        let text = self.spec.to_string();
        Ok(std::fs::write(self.directory.join("config.json"), text)?)
    }

    /// `vc run` of it.
    pub fn run(&self, id: &str) -> Result<Program> {
        self.write()?;
        let program = self.place.vc(["run", "--bundle"]);
        Ok(program.arg(&self.directory).arg(id))
    }
}
