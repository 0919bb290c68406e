//! The protocol's specification messages as OCI types.
//!
//! The wire has no "not given" for most values; what stands for it is said where it matters.
//! Everything is carried over as it is, or refused by name: nothing is guessed, nothing panics.

mod linux;
mod process;
mod resources;
mod seccomp;

use std::path::PathBuf;
use std::str::FromStr;

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;

pub(crate) use process::process;
pub(crate) use resources::resources;

use super::error::{EngineError, Result};

/// Reads a specification.
///
/// # Errors
/// Invalid, naming the property and the word, for words that do not exist.
pub(crate) fn spec(spec: &wire::Spec) -> Result<oci::Spec> {
    let mut read = oci::Spec::default();
    if !spec.Version.is_empty() {
        read.set_version(spec.Version.clone());
    }
    read.set_process(spec.Process.as_ref().map(process).transpose()?);
    read.set_root(spec.Root.as_ref().map(root));
    read.set_hostname(text(&spec.Hostname));
    read.set_mounts(Some(spec.Mounts.iter().map(mount).collect()));
    read.set_hooks(spec.Hooks.as_ref().map(hooks));
    read.set_annotations(Some(spec.Annotations.clone().into_iter().collect()));
    read.set_linux(spec.Linux.as_ref().map(linux::linux).transpose()?);
    Ok(read)
}

fn root(root: &wire::Root) -> oci::Root {
    let mut read = oci::Root::default();
    read.set_path(PathBuf::from(&root.Path));
    read.set_readonly(Some(root.Readonly));
    read
}

fn mount(mount: &wire::Mount) -> oci::Mount {
    let mut read = oci::Mount::default();
    read.set_destination(PathBuf::from(&mount.destination));
    read.set_source(text(&mount.source).map(PathBuf::from));
    read.set_typ(text(&mount.type_));
    read.set_options(Some(mount.options.clone()));
    read
}

fn hooks(hooks: &wire::Hooks) -> oci::Hooks {
    let all = |hooks: &[wire::Hook]| Some(hooks.iter().map(hook).collect());
    let mut read = oci::Hooks::default();
    read.set_create_runtime(all(&hooks.CreateRuntime));
    read.set_create_container(all(&hooks.CreateContainer));
    read.set_start_container(all(&hooks.StartContainer));
    read.set_poststart(all(&hooks.Poststart));
    read.set_poststop(all(&hooks.Poststop));
    read
}

fn hook(hook: &wire::Hook) -> oci::Hook {
    let mut read = oci::Hook::default();
    read.set_path(PathBuf::from(&hook.Path));
    read.set_args(Some(hook.Args.clone()));
    read.set_env(Some(hook.Env.clone()));
    read.set_timeout(Some(hook.Timeout).filter(|seconds| *seconds != 0));
    read
}

/// An empty text is one that was not given.
fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// A word of a list that the specification fixes.
fn word<T: FromStr>(property: &str, word: &str) -> Result<T> {
    word.parse()
        .map_err(|_| EngineError::invalid(format!("{property}: {word:?} does not exist")))
}

/// What a builder gives that cannot lack anything.
fn built<T>(property: &str, built: std::result::Result<T, oci_spec::OciSpecError>) -> Result<T> {
    built.map_err(|error| EngineError::invalid(format!("{property}: {error}")))
}

#[cfg(test)]
mod tests;
