//! The commands, one file each: arguments in, calls of the library, output.

pub(crate) mod oci;
pub(crate) mod operator;

use anyhow::bail;
use virtcontainers::{Config, Runtime};

use crate::args::Global;

/// The configuration, with what the command line says over it.
fn config(global: &Global) -> anyhow::Result<Config> {
    let mut config = Config::load(global.config.as_deref())?;
    if let Some(root) = &global.root {
        if !root.is_absolute() {
            bail!(
                "the state root {} is not absolute: give --root a whole path",
                root.display()
            );
        }
        config.runtime.root.clone_from(root);
    }
    Ok(config)
}

fn runtime(global: &Global) -> anyhow::Result<(Config, Runtime)> {
    let config = config(global)?;
    let runtime = virtcontainers::runtime(&config)?;
    Ok((config, runtime))
}
