//! Interfaces that come late.

use std::time::Duration;

use virtcontainers_network::{self as network, Namespace, Plan};
use virtcontainers_types::{Capabilities, SandboxConfig};

use super::{Attached, decide};
use crate::error::{Context, Error};
use crate::runtime::blocking;

/// Waits until there is an interface for a machine that was promised one and has none.
///
/// Errors: `Timeout` after the deadline, with what is there; as [`decide`]. Dropping the future leaves
/// a thread that looks on until the deadline; it changes nothing.
pub(crate) async fn await_interface(
    namespace: &Namespace,
    config: &SandboxConfig,
    capabilities: Capabilities,
    deadline: Duration,
) -> Result<Plan, Error> {
    let id = config.id.clone();
    let broken = || format!("sandbox {id} was promised a network");
    let namespace = namespace.path().to_owned();
    let config = config.clone();
    let waited = blocking(move || {
        let none = Attached::default();
        let plan = |view: &network::View| decide(view, &config, &capabilities, &none);
        let look = || {
            let namespace = network::open_namespace(&namespace)?;
            // What cannot be connected is enough too: the error tells more than silence.
            let enough =
                |view: &network::View| plan(view).map_or(true, |plan| !plan.endpoints.is_empty());
            let view = network::scan_until(&namespace, deadline, enough)?;
            plan(&view)
        };
        look().during(|| "its interfaces did not come".to_owned())
    });
    waited
        .await
        .map_err(|error| Error::new(error.kind(), broken()).because(error))
}
