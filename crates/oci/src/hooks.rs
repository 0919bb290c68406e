//! The hooks of a bundle, in order, refused early when they cannot be run.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Hook, Hooks, Spec};

use crate::{Error, ErrorKind, State};

/// A point of a container's life at which hooks run (OCI runtime-spec 1.2, `runtime.md#lifecycle`
/// and `config.md#posix-platform-hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookKind {
    /// In `create`, on the host, before `createRuntime`; deprecated by the specification and much
    /// used. A failure undoes the creation.
    Prestart,
    /// In `create`, on the host, when the environment exists. A failure undoes the creation.
    CreateRuntime,
    /// In `create`, in the container's namespaces. A failure undoes the creation.
    CreateContainer,
    /// In `start`, in the container's namespaces, before the program runs. A failure stops it.
    StartContainer,
    /// After the program was started, on the host. A failure is told and changes nothing.
    Poststart,
    /// After the container was deleted, on the host. A failure is told and changes nothing.
    Poststop,
}

impl HookKind {
    /// All, in the order in which a container meets them.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The name of the list in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// Whether a failed hook ends the operation, and the hooks after it do not run. Otherwise the
    /// failure is logged, and the next hook runs.
    pub const fn is_fatal(self) -> bool {
        match self {
            Self::Prestart | Self::CreateRuntime | Self::CreateContainer | Self::StartContainer => {
                true
            }
            Self::Poststart | Self::Poststop => false,
        }
    }

    fn of(self, hooks: &Hooks) -> Option<&Vec<Hook>> {
        match self {
            Self::Prestart => hooks.prestart().as_ref(),
            Self::CreateRuntime => hooks.create_runtime().as_ref(),
            Self::CreateContainer => hooks.create_container().as_ref(),
            Self::StartContainer => hooks.start_container().as_ref(),
            Self::Poststart => hooks.poststart().as_ref(),
            Self::Poststop => hooks.poststop().as_ref(),
        }
    }
}

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A hook that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookPlan {
    /// The program, absolute.
    pub path: PathBuf,
    /// All arguments, the program's own name first; empty when the bundle gives none.
    pub args: Vec<String>,
    /// The whole environment, `NAME=value`.
    pub env: Vec<String>,
    /// How many seconds it may run; unlimited without.
    pub timeout_s: Option<NonZeroU64>,
}

/// The hooks of one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HookPlans(BTreeMap<HookKind, Vec<HookPlan>>);

impl HookPlans {
    /// The hooks of `spec`.
    ///
    /// Errors: `Invalid`, with the list and the place in it, for a path that is not absolute, a
    /// timeout that is not positive, and a zero byte in anything.
    pub fn of(spec: &Spec) -> Result<Self, Error> {
        let mut plans = BTreeMap::new();
        for kind in HookKind::ALL {
            let hooks = spec.hooks().as_ref().and_then(|hooks| kind.of(hooks));
            let hooks = hooks.into_iter().flatten().enumerate();
            let planned: Vec<HookPlan> = hooks
                .map(|(place, hook)| plan(hook, &format!("hooks.{kind}[{place}]")))
                .collect::<Result<_, Error>>()?;
            if !planned.is_empty() {
                plans.insert(kind, planned);
            }
        }
        Ok(Self(plans))
    }

    /// The hooks of one kind, in the order in which they run.
    pub fn get(&self, kind: HookKind) -> &[HookPlan] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Whether there is none of any kind.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn plan(hook: &Hook, place: &str) -> Result<HookPlan, Error> {
    let refused = |what: String| Error::new(ErrorKind::Invalid, format!("{place} {what}"));
    let path = hook.path();
    if !path.is_absolute() {
        let path = path.display();
        return Err(refused(format!(
            "has the path {path:?}, which is not absolute: write the whole path"
        )));
    }
    let timeout_s = hook.timeout().map(|seconds| {
        let positive = u64::try_from(seconds).ok().and_then(NonZeroU64::new);
        positive.ok_or_else(|| {
            refused(format!(
                "has a timeout of {seconds} s: give a positive one, or none for no limit"
            ))
        })
    });
    let args = hook.args().clone().unwrap_or_default();
    let env = hook.env().clone().unwrap_or_default();
    let mut texts = args.iter().chain(&env).map(String::as_bytes);
    if texts.any(has_zero) || has_zero(path.as_os_str().as_encoded_bytes()) {
        return Err(refused(
            "has a zero byte in its path, arguments or environment: no program can get one"
                .to_owned(),
        ));
    }
    Ok(HookPlan {
        path: path.clone(),
        args,
        env,
        timeout_s: timeout_s.transpose()?,
    })
}

fn has_zero(text: &[u8]) -> bool {
    text.contains(&0)
}

/// What a hook gets on its standard input: the state of its container. `status` is a word of the
/// specification, as [`SandboxState::oci_status`](virtcontainers_types::SandboxState::oci_status)
/// has them; `pid` is that of the process that stands for the container on the host, once there is
/// one.
///
/// Errors: `Invalid` when the bundle's path is not text.
pub fn state_json(
    id: &str,
    status: &'static str,
    pid: Option<u32>,
    bundle: &Path,
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Error> {
    let state = State {
        oci_version: State::OCI_VERSION,
        id: id.to_owned(),
        status,
        pid,
        bundle: bundle.to_owned(),
        annotations: annotations.clone(),
    };
    serde_json::to_vec(&state).map_err(|error| {
        let bundle = bundle.display();
        let message = format!("cannot tell a hook of the bundle {bundle:?}: rename it to UTF-8");
        Error::new(ErrorKind::Invalid, message).because(error)
    })
}

#[cfg(test)]
mod tests;
