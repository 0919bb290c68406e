//! `vc network`: what a machine gets of its namespace, what its guest made of that, and changes of it.

pub(super) mod interfaces;
mod routes;

use std::process::ExitCode;

use virtcontainers::types::Interface;
use virtcontainers::{Runtime, plan_network};

use super::sandbox_id;
use crate::args::operator::network::{NetworkCommand, NetworkPlan};
use crate::args::{Format, Global};
use crate::commands::{config, runtime};
use crate::output;

pub(crate) async fn run(global: &Global, command: NetworkCommand) -> anyhow::Result<ExitCode> {
    let runtime = || -> anyhow::Result<Runtime> { Ok(runtime(global)?.1) };
    match command {
        NetworkCommand::Plan(wanted) => plan(global, &wanted)?,
        NetworkCommand::List(shown) => interfaces::list(&runtime()?, &shown).await?,
        NetworkCommand::Add(add) => interfaces::add(&runtime()?, add).await?,
        NetworkCommand::Remove(remove) => interfaces::remove(&runtime()?, &remove).await?,
        NetworkCommand::Routes(shown) => routes::list(&runtime()?, &shown).await?,
        NetworkCommand::SetRoute(set) => routes::set(&runtime()?, &set).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Needs no sandbox, and no root's state: the namespace is looked at, and left as it is.
fn plan(global: &Global, wanted: &NetworkPlan) -> anyhow::Result<()> {
    let mut config = config(global)?;
    if let Some(model) = wanted.model {
        config.network.model = model.into();
    }
    let plan = plan_network(&config, &wanted.netns)?;
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
    let skipped = plan.skipped.iter();
    besides(skipped.map(|one| (&*one.name, &*one.reason)), &plan.notes)
}

/// What is told below a table of interfaces.
fn besides<'a>(
    skipped: impl Iterator<Item = (&'a str, &'a str)>,
    notes: &[String],
) -> anyhow::Result<()> {
    for (name, reason) in skipped {
        output::print(&format!("skipped {name}: {reason}\n"))?;
    }
    for note in notes {
        output::print(&format!("note: {note}\n"))?;
    }
    Ok(())
}

/// The addresses of an interface, in one word each.
pub(super) fn addresses(interface: &Interface) -> String {
    let addresses = interface.addresses.iter().map(ToString::to_string);
    addresses.collect::<Vec<_>>().join(" ")
}
