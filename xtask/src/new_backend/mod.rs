//! `new-backend NAME`: a crate for another hypervisor that compiles, refuses everything, and whose
//! suite says what is missing. What to do then is in `docs/adding-a-backend.md`.

mod register;
mod templates;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use pico_args::Arguments;

use crate::cargo;
use crate::progress::note;
use crate::tasks::{Usage, finish};
use crate::workspace;

/// The task.
pub(crate) fn task(mut args: Arguments) -> Result<ExitCode> {
    let name: Option<String> = args.opt_free_from_str()?;
    finish(args)?;
    let Some(name) = name else {
        return Err(
            Usage("new-backend needs a name: `cargo xtask new-backend NAME`".into()).into(),
        );
    };
    let name = Name::new(&name)?;
    let root = workspace::root();
    // All texts are made before the first is written, so that a refusal leaves nothing.
    let registered = register::edits(&root, &name)?;
    for path in scaffold(&root, &name)? {
        note(format!("wrote {}", path.display()));
    }
    for (path, text) in registered {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        note(format!("registered in {}", path.display()));
    }
    // How lines are broken and imports sorted depends on the name.
    let package = format!("virtcontainers-{}", name.crate_name());
    cargo::host()
        .args(["fmt", "--package", &package, "--package", "xtask"])
        .run()?;
    note(format!(
        "now run `cargo test -p virtcontainers-{0} --test conformance -- --nocapture` and go on with \
         docs/adding-a-backend.md; register it in crates/virtcontainers/src/registry.rs at the end",
        name.crate_name()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The name of a backend: lowercase letters and digits, hyphens between.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name(String);

impl Name {
    fn new(text: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || text.ends_with('-') || text.contains("--") || !text.chars().all(fits) {
            let message = format!(
                "{text:?} cannot be a backend's name: use lowercase letters, digits and single \
                 hyphens, a letter first"
            );
            return Err(Usage(message).into());
        }
        Ok(Self(text.to_owned()))
    }

    /// `cloud-hypervisor`
    fn crate_name(&self) -> &str {
        &self.0
    }

    /// `CloudHypervisor`
    fn type_name(&self) -> String {
        let words = self.0.split('-');
        words
            .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
            .collect()
    }

    /// `cloud_hypervisor`
    fn module_name(&self) -> String {
        self.0.replace('-', "_")
    }
}

/// Writes the crate; gives the files in it.
fn scaffold(root: &Path, name: &Name) -> Result<Vec<PathBuf>> {
    let folder = root.join("crates").join(name.crate_name());
    if folder.exists() {
        bail!("{} exists already: choose another name", folder.display());
    }
    let mut written = Vec::new();
    for (path, text) in templates::files(name) {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests;
