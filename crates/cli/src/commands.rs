//! The commands, one file each: arguments in, calls of the library, output.

pub(crate) mod oci;
pub(crate) mod operator;

use std::path::Path;

use anyhow::{Context, bail};
use virtcontainers::oci::{CommandLine, resolve_user};
use virtcontainers::types::ContainerId;
use virtcontainers::{Config, Runtime, Sandbox};

use crate::args::{Global, oci::Process};

/// The annotation in which a sandbox keeps the bundle that it was made from.
const BUNDLE: &str = "org.virtcontainers.bundle";

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

async fn sandbox(global: &Global, id: &ContainerId) -> anyhow::Result<Sandbox> {
    let (_, runtime) = runtime(global)?;
    Ok(runtime.fetch_sandbox(&id.clone().into()).await?)
}

/// The command to run, its user looked up in the container's own files.
fn command_line(process: &Process, args: &[String], rootfs: &Path) -> anyhow::Result<CommandLine> {
    for entry in &process.env {
        if entry
            .split_once('=')
            .is_none_or(|(name, _)| name.is_empty())
        {
            bail!("environment variable {entry:?} is not valid: write NAME=VALUE");
        }
    }
    if let Some(cwd) = process.cwd.as_deref().filter(|cwd| !cwd.starts_with('/')) {
        bail!("working directory {cwd:?} is not absolute: write the whole path in the container");
    }
    let user = process
        .user
        .as_deref()
        .map(|user| resolve_user(rootfs, user))
        .transpose()
        .context("cannot run as that user")?;
    Ok(CommandLine {
        args: args.to_vec(),
        env: process.env.clone(),
        cwd: process.cwd.clone(),
        user,
        terminal: process.tty,
        ..CommandLine::default()
    })
}
