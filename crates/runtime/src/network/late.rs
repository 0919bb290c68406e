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
    let namespace = network::open_namespace(namespace.path()).during(|| promised.clone())?;
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
    let failed = || "its interfaces did not come".to_owned();
    let none = Attached::default();
    let plan = |view: &View| decide(view, config, &capabilities, &none);
    // What cannot be connected is enough too: the error tells more than silence.
    let enough = |view: &View| plan(view).map_or(true, |plan| !plan.endpoints.is_empty());
    let seen = network::scan_until_cancelled(namespace, deadline, called_off.as_fd(), enough);
    match seen.during(failed)? {
        Some(view) => plan(&view).during(failed),
        None => Err(Error::new(ErrorKind::Internal, "nobody waits any more")),
    }
}
