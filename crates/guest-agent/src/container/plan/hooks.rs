//! The hooks that run where the container is. Those of the runtime's own namespaces belong to the
//! host: they were run there, and mean nothing in the guest.

use std::path::PathBuf;

use oci_spec::runtime::{Hook, Hooks};
use serde::{Deserialize, Serialize};

use super::{absolute, no_nul};
use crate::container::error::{EngineError, Result};

/// One program to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookPlan {
    /// Its file.
    pub(crate) path: PathBuf,
    /// `argv`; empty stands for the path alone.
    pub(crate) args: Vec<String>,
    /// `NAME`, value.
    pub(crate) env: Vec<(String, String)>,
    /// Seconds until it is killed.
    pub(crate) timeout: Option<u32>,
}

pub(super) fn create(hooks: Option<&Hooks>) -> Result<Vec<HookPlan>> {
    plans(
        "hooks.createContainer",
        hooks.and_then(|hooks| hooks.create_container().as_deref()),
    )
}

pub(super) fn start(hooks: Option<&Hooks>) -> Result<Vec<HookPlan>> {
    plans(
        "hooks.startContainer",
        hooks.and_then(|hooks| hooks.start_container().as_deref()),
    )
}

fn plans(property: &str, hooks: Option<&[Hook]>) -> Result<Vec<HookPlan>> {
    hooks
        .unwrap_or_default()
        .iter()
        .map(|hook| plan(property, hook))
        .collect()
}

fn plan(property: &str, hook: &Hook) -> Result<HookPlan> {
    let args = hook.args().clone().unwrap_or_default();
    args.iter().try_for_each(|arg| no_nul(property, arg))?;
    let env = hook.env().iter().flatten().map(|entry| {
        no_nul(property, entry)?;
        let (name, value) = entry.split_once('=').ok_or_else(|| {
            EngineError::invalid(format!("{property}: {entry:?} is not NAME=value"))
        })?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let timeout = hook
        .timeout()
        .filter(|seconds| *seconds != 0)
        .map(|seconds| {
            u32::try_from(seconds).map_err(|_| {
                EngineError::invalid(format!(
                    "{property}: a timeout of {seconds} s makes no sense"
                ))
            })
        });
    Ok(HookPlan {
        path: absolute(property, hook.path())?,
        args,
        env: env.collect::<Result<_>>()?,
        timeout: timeout.transpose()?,
    })
}
