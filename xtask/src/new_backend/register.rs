//! Where a backend's crate must be known before it compiles and passes the checks of shape.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Name;

/// A line that is there, and what comes after it or in its place.
struct Edit {
    file: &'static str,
    /// The line, or the end of it.
    anchor: &'static str,
    /// What stands there afterwards; `@name@` is the backend's.
    with: &'static str,
}

const EDITS: &[Edit] = &[
    Edit {
        file: "Cargo.toml",
        anchor: "virtcontainers-qemu = { path = \"crates/qemu\", version = \"0.1.0\" }\n",
        with: "virtcontainers-qemu = { path = \"crates/qemu\", version = \"0.1.0\" }\n\
               virtcontainers-@name@ = { path = \"crates/@name@\", version = \"0.1.0\" }\n",
    },
    Edit {
        file: "xtask/src/layers/table.rs",
        anchor: "pub(super) const BACKENDS: &[&str] = &[\"qemu\"",
        with: "pub(super) const BACKENDS: &[&str] = &[\"qemu\", \"@name@\"",
    },
    Edit {
        file: "xtask/src/layers/table.rs",
        anchor: "    row(\"qemu\", 2, Uses::Only(&[\"types\", \"process\", \"hypervisor\"])),\n",
        with: "    row(\"qemu\", 2, Uses::Only(&[\"types\", \"process\", \"hypervisor\"])),\n    \
               row(\"@name@\", 2, Uses::Only(&[\"types\", \"process\", \"hypervisor\"])),\n",
    },
    Edit {
        file: "xtask/src/tidy/backends.rs",
        anchor: "const BACKENDS: &[&str] = &[\"qemu\"",
        with: "const BACKENDS: &[&str] = &[\"qemu\", \"@name@\"",
    },
];

/// The files that change, with their new texts. Writes nothing.
pub(super) fn edits(root: &Path, name: &Name) -> Result<Vec<(PathBuf, String)>> {
    let mut texts: Vec<(PathBuf, String)> = Vec::new();
    for edit in EDITS {
        let path = root.join(edit.file);
        if !texts.iter().any(|(known, _)| *known == path) {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            texts.push((path.clone(), text));
        }
        for (_, text) in texts.iter_mut().filter(|(known, _)| *known == path) {
            if text.matches(edit.anchor).count() != 1 {
                bail!(
                    "{} has changed: register the backend there by hand, and mend {}",
                    edit.file,
                    "xtask/src/new_backend/register.rs"
                );
            }
            let with = edit.with.replace("@name@", name.crate_name());
            *text = text.replace(edit.anchor, &with);
        }
    }
    Ok(texts)
}
