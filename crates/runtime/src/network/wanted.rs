//! What a sandbox's configuration means for the interfaces of its namespace.

use std::collections::BTreeSet;

use virtcontainers_network::{self as network, Config, Override, Plan, View};
use virtcontainers_types::{Capabilities, Interface, Route, SandboxConfig};

use super::{Attached, AttachedDevice};

/// Decides how the machine of `sandbox` is connected to the interfaces of its namespace that it does
/// not have yet. Pure.
///
/// Errors: as [`network::plan`].
pub(crate) fn decide(
    view: &View,
    sandbox: &SandboxConfig,
    capabilities: &Capabilities,
    attached: &Attached,
) -> Result<Plan, network::Error> {
    network::plan(view, &config(view, sandbox, capabilities, attached))
}

/// Decides how one more link of the namespace is connected, and what the guest has of it in the place
/// of what the link has. Pure.
///
/// Errors: as [`network::plan`].
pub(crate) fn added(
    view: &View,
    sandbox: &SandboxConfig,
    capabilities: &Capabilities,
    attached: &Attached,
    interface: &Interface,
) -> Result<Plan, network::Error> {
    let link = link_of(interface).to_owned();
    let given = Override {
        name: Some(interface.name.clone()).filter(|name| !name.is_empty()),
        addresses: interface.addresses.clone(),
        mtu: Some(interface.mtu).filter(|mtu| *mtu != 0),
    };
    let mut config = config(view, sandbox, capabilities, attached);
    config.only = Some(BTreeSet::from([link.clone()]));
    config.overrides.insert(link.clone(), given);
    network::plan(view, &config)
}

/// The link of the namespace that a caller means.
pub(crate) fn link_of(interface: &Interface) -> &str {
    match interface.device.is_empty() {
        true => &interface.name,
        false => &interface.device,
    }
}

/// The routes that take the place of those that went with a device: to the same destinations,
/// through what is still `attached`. Pure.
///
/// Errors: as [`network::connected_routes`].
pub(crate) fn fallback(
    view: &View,
    sandbox: &SandboxConfig,
    capabilities: &Capabilities,
    attached: &Attached,
    gone: &[Route],
) -> Result<Vec<Route>, network::Error> {
    let config = config(view, sandbox, capabilities, attached);
    let mut routes = network::connected_routes(view, &config)?;
    let same = |route: &Route, gone: &Route| {
        route.family == gone.family && route.destination == gone.destination
    };
    routes.retain(|route| gone.iter().any(|gone| same(route, gone)));
    Ok(routes)
}

/// The crate's own words for a configuration.
fn config(
    view: &View,
    sandbox: &SandboxConfig,
    capabilities: &Capabilities,
    attached: &Attached,
) -> Config {
    Config {
        connected: attached.links().map(str::to_owned).collect(),
        overrides: attached.devices.iter().map(as_told).collect(),
        ..Config::of(&sandbox.network, view, sandbox.vcpus, capabilities)
    }
}

/// What the guest was told of a device, by the name of its link.
fn as_told(device: &AttachedDevice) -> (String, Override) {
    let Interface {
        name,
        addresses,
        mtu,
        ..
    } = &device.interface;
    let told = Override {
        name: Some(name.clone()),
        addresses: addresses.clone(),
        mtu: Some(*mtu),
    };
    (device.endpoint.name.clone(), told)
}
