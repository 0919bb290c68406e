//! Running the hooks of containers on the host (OCI runtime-spec 1.2, `config.md`).

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use virtcontainers_oci::{HookKind, HookPlan, HookPlans, state_json};
use virtcontainers_process::{Hook, HookCall, Mark, run_hook};
use virtcontainers_store::Ledger;
use virtcontainers_types::ContainerConfig;

use crate::clock;
use crate::error::{Context, Error, ErrorKind};
use crate::undo::Effect;

/// Where and for whom hooks run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The process that stands for the container on the host, while there is one.
    pub(crate) pid: Option<u32>,
    /// The status that the specification wants the hook to be told.
    pub(crate) status: &'static str,
    /// The sandbox's network namespace; ours when absent.
    pub(crate) namespace: Option<BorrowedFd<'a>>,
    /// Where a running hook is entered; absent when the sandbox is gone.
    pub(crate) ledger: Option<&'a Ledger>,
}

/// Runs a container's hooks of one kind, one after the other.
///
/// A failure ends it where the specification says so (see [`HookKind::is_fatal`]); any other is
/// logged. Dropping the future kills the hook that runs.
///
/// Errors: `Invalid` for hooks that cannot be; `NotFound`, `Denied`, `Timeout`, `Internal` naming
/// the hook, with what it said.
pub(crate) async fn run(
    kind: HookKind,
    container: &ContainerConfig,
    surroundings: Surroundings<'_>,
) -> Result<(), Error> {
    let id = &container.id;
    let plans = HookPlans::of(&container.spec)
        .during(|| format!("the hooks of container {id} cannot be run"))?;
    if plans.get(kind).is_empty() {
        return Ok(());
    }
    let directory = container.bundle.as_deref().unwrap_or(Path::new("/"));
    let annotations = container.spec.annotations().clone().unwrap_or_default();
    let state = state_json(
        id.as_str(),
        surroundings.status,
        surroundings.pid,
        directory,
        &annotations.into_iter().collect(),
    )
    .during(|| format!("cannot tell the hooks of container {id} its state"))?;
    for plan in plans.get(kind) {
        let ran = run_one(plan, &state, directory, surroundings).await;
        match ran.during(|| format!("a {kind} hook of container {id} failed")) {
            Err(error) if kind.is_fatal() => return Err(error),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the container goes on");
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

async fn run_one(
    plan: &HookPlan,
    state: &[u8],
    directory: &Path,
    surroundings: Surroundings<'_>,
) -> Result<(), Error> {
    let hook = Hook {
        path: plan.path.clone(),
        args: plan.args.iter().map(OsString::from).collect(),
        env: plan.env.iter().map(OsString::from).collect(),
        timeout: plan
            .timeout_s
            .map(|seconds| Duration::from_secs(seconds.get())),
    };
    let mark = Mark::new(clock::nonce()?, "hook");
    let effect = Effect::Hook(mark.clone());
    if let Some(ledger) = surroundings.ledger {
        effect.enter(ledger)?;
    }
    let call = HookCall {
        state,
        directory,
        network_namespace: surroundings.namespace,
        mark: &mark,
    };
    let ran = run_hook(&hook, call).await;
    if let Some(ledger) = surroundings.ledger {
        // What it left running on purpose is not ours to end.
        let entry = effect.entry().map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot describe a hook").because(error)
        })?;
        ledger
            .forget(&[entry])
            .during(|| "cannot shorten the ledger of the sandbox".to_owned())?;
    }
    ran.during(|| plan.path.display().to_string())
}
