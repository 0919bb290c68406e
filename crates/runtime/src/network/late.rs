//! Interfaces that come late.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use virtcontainers_network::{self as network, Namespace, Plan, View};
use virtcontainers_types::{Capabilities, SandboxConfig};

use super::{Attached, decide};
use crate::error::{Context, Error, ErrorKind};
use crate::runtime::blocking;

/// Waits until there is an interface for a machine that was promised one and has none.
///
/// Errors: `Timeout` after the deadline, with what is there; as [`decide`]. Dropping the future ends
/// the wait.
pub(crate) async fn await_interface(
    namespace: &Namespace,
    config: &SandboxConfig,
    capabilities: Capabilities,
    deadline: Duration,
) -> Result<Plan, Error> {
    let promised = format!("sandbox {} was promised a network", config.id);
    let failed =
        |error: std::io::Error| Error::new(ErrorKind::Internal, "cannot wait").because(error);
    // For a thread of its own.
    let namespace = network::reopen_namespace(namespace.path()).during(|| promised.clone())?;
    // Whoever drops this future closes `_ours`, by which the thread is called off.
    let (called_off, _ours) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let config = config.clone();
    let waited =
        blocking(move || look_until(&namespace, &config, capabilities, deadline, &called_off));
    waited
        .await
        .map_err(|error| Error::new(error.kind(), promised).because(error))
}

fn look_until(
    namespace: &Namespace,
    config: &SandboxConfig,
    capabilities: Capabilities,
    deadline: Duration,
    called_off: &OwnedFd,
) -> Result<Plan, Error> {
    let none = Attached::default();
    let plan = |view: &View| decide(view, config, &capabilities, &none);
    // What cannot be connected is enough too: the error tells more than silence.
    let enough = |view: &View| plan(view).map_or(true, |plan| !plan.endpoints.is_empty());
    tracing::info!(sandbox = %config.id, "waiting for an interface");
    let seen = network::scan_until_cancelled(namespace, deadline, called_off.as_fd(), enough);
    let seen = seen.during(|| {
        let there = network::scan(namespace).and_then(|view| plan(&view));
        none_came(there.ok())
    })?;
    match seen {
        Some(view) => plan(&view).during(|| "they cannot be connected".to_owned()),
        None => Err(Error::new(ErrorKind::Internal, "nobody waits any more")),
    }
}

/// What to say of what is there, beside that it is not enough.
fn none_came(plan: Option<Plan>) -> String {
    let skipped = plan.into_iter().flat_map(|plan| plan.skipped);
    let reasons: Vec<_> = skipped
        .map(|skipped| format!("{} {}", skipped.name, skipped.reason))
        .collect();
    match reasons.is_empty() {
        true => "no interface came".to_owned(),
        false => format!("no interface came: {}", reasons.join(", ")),
    }
}
