//! `vc network`: what a machine gets of its namespace, and what its guest made of that.

use std::process::ExitCode;

use virtcontainers::network::{self, Config};
use virtcontainers::types::{Interface, Route};

use super::sandbox_id;
use crate::args::operator::network::{NetworkCommand, NetworkPlan, NetworkShown};
use crate::args::{Format, Global};
use crate::commands::runtime;
use crate::output;

pub(crate) async fn run(global: &Global, command: NetworkCommand) -> anyhow::Result<ExitCode> {
    match command {
        NetworkCommand::Plan(wanted) => plan(&wanted)?,
        NetworkCommand::List(shown) => list(global, &shown).await?,
        NetworkCommand::Routes(shown) => routes(global, &shown).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Needs no sandbox, and no root's state: the namespace is looked at, and left as it is.
fn plan(wanted: &NetworkPlan) -> anyhow::Result<()> {
    let namespace = network::open_namespace(&wanted.netns)?;
    let config = Config {
        model: wanted.model.into(),
        ..Config::default()
    };
    let plan = network::plan(&network::scan(&namespace)?, &config)?;
    if wanted.format == Format::Json {
        return output::json(&plan);
    }
    let rows: Vec<_> = plan
        .endpoints
        .iter()
        .zip(&plan.guest.interfaces)
        .map(|(endpoint, interface)| {
            [
                endpoint.name.clone(),
                endpoint.kind.to_string(),
                endpoint.mac.to_string(),
                endpoint.mtu.to_string(),
                addresses(interface),
            ]
        })
        .collect();
    output::table(["NAME", "KIND", "MAC", "MTU", "ADDRESSES"], &rows)?;
    for skipped in &plan.skipped {
        output::print(&format!("skipped {}: {}\n", skipped.name, skipped.reason))?;
    }
    for note in &plan.notes {
        output::print(&format!("note: {note}\n"))?;
    }
    Ok(())
}

async fn list(global: &Global, shown: &NetworkShown) -> anyhow::Result<()> {
    let (_, runtime) = runtime(global)?;
    let sandbox = sandbox_id(&runtime, &shown.id).await?;
    let interfaces = runtime.list_interfaces(&sandbox).await?;
    if shown.format == Format::Json {
        return output::json(&interfaces);
    }
    let row = |interface: &Interface| {
        [
            interface.name.clone(),
            interface.hardware_address.to_string(),
            interface.mtu.to_string(),
            addresses(interface),
        ]
    };
    let rows: Vec<_> = interfaces.iter().map(row).collect();
    output::table(["NAME", "MAC", "MTU", "ADDRESSES"], &rows)
}

async fn routes(global: &Global, shown: &NetworkShown) -> anyhow::Result<()> {
    let (_, runtime) = runtime(global)?;
    let sandbox = sandbox_id(&runtime, &shown.id).await?;
    let routes = runtime.list_routes(&sandbox).await?;
    if shown.format == Format::Json {
        return output::json(&routes);
    }
    let row = |route: &Route| {
        let destination = route.destination.as_ref();
        [
            destination.map_or_else(|| "default".to_owned(), ToString::to_string),
            text(route.gateway),
            route.device.clone(),
            text(route.source),
        ]
    };
    let rows: Vec<_> = routes.iter().map(row).collect();
    output::table(["DESTINATION", "GATEWAY", "DEVICE", "SOURCE"], &rows)
}

fn addresses(interface: &Interface) -> String {
    let addresses = interface.addresses.iter().map(ToString::to_string);
    addresses.collect::<Vec<_>>().join(" ")
}

fn text(address: Option<std::net::IpAddr>) -> String {
    address.map(|one| one.to_string()).unwrap_or_default()
}
