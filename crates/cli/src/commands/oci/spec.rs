//! `vc spec`: a bundle's configuration to start from.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::args::oci::Spec;

pub(crate) fn run(spec: &Spec) -> anyhow::Result<ExitCode> {
    let path = spec.bundle.join("config.json");
    let text = serde_json::to_string_pretty(&virtcontainers::oci::default_spec())?;
    let file = match File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
            "{} exists: remove it, or name another directory with --bundle",
            path.display()
        ),
        file => file,
    };
    file.and_then(|mut file| writeln!(file, "{text}"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
