//! The routes of a guest.

use std::net::IpAddr;

use virtcontainers::Runtime;
use virtcontainers::types::Route;

use super::sandbox_id;
use crate::args::Format;
use crate::args::operator::network::{NetworkSetRoute, NetworkShown, route};
use crate::output;

pub(super) async fn list(runtime: &Runtime, shown: &NetworkShown) -> anyhow::Result<()> {
    let sandbox = sandbox_id(runtime, &shown.id).await?;
    show(&runtime.list_routes(&sandbox).await?, shown.format)
}

pub(super) async fn set(runtime: &Runtime, wanted: &NetworkSetRoute) -> anyhow::Result<()> {
    // First: it needs no sandbox to be wrong.
    let route = route::parse(&wanted.route)?;
    let sandbox = sandbox_id(runtime, &wanted.id).await?;
    let routes = runtime.update_routes(&sandbox, vec![route]).await?;
    show(&routes, wanted.format)
}

fn show(routes: &[Route], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
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

fn text(address: Option<IpAddr>) -> String {
    address.map(|one| one.to_string()).unwrap_or_default()
}
