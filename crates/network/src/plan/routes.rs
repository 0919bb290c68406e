//! Which routes the guest is told, and why not of others.

use std::collections::BTreeSet;

use virtcontainers_types::{IpFamily, Route};

use super::Endpoint;
use crate::{Config, Error, ErrorKind, View, view};

/// `RTN_UNICAST`, `RTPROT_REDIRECT`, `RTPROT_KERNEL`, `RT_TABLE_MAIN`, `RT_TABLE_LOCAL`,
/// `RTNH_F_ONLINK` (linux/rtnetlink.h).
const UNICAST: u8 = 1;
const BY_REDIRECT: u8 = 1;
const BY_KERNEL: u8 = 2;
const MAIN: u32 = 254;
const LOCAL: u32 = 255;
const ON_LINK: u32 = 4;

/// The routes of the guest, the least metric first. It knows no metrics, so that of several routes
/// to one destination it has the best.
pub(super) fn routes(
    view: &View,
    config: &Config,
    endpoints: &[Endpoint],
    notes: &mut Vec<String>,
) -> Result<Vec<Route>, Error> {
    let mut candidates: Vec<_> = view.routes.iter().filter(|route| is_told(route)).collect();
    candidates.sort_by_key(|route| route.metric);
    let mut destinations = BTreeSet::new();
    let mut routes = Vec::new();
    for route in candidates {
        let Some(device) = device(view, config, endpoints, route, notes)? else {
            continue;
        };
        let text = text(route, view);
        if let Some(reason) = untellable(route) {
            notes.push(format!("the {text} is not in the guest: {reason}"));
            continue;
        }
        if !destinations.insert((route.family == IpFamily::V6, route.destination)) {
            notes.push(format!(
                "the {text} is not in the guest: it has another one to there, and knows no metrics"
            ));
            continue;
        }
        if !route.tuning.is_empty() {
            let parts = route.tuning.join(", ");
            notes.push(format!("the {text} is in the guest without its {parts}"));
        }
        routes.push(Route {
            family: route.family,
            destination: route.destination,
            gateway: route.gateway,
            device: device.to_owned(),
            source: route.source,
            scope: route.scope,
            flags: route.flags & ON_LINK,
            mtu: route.mtu,
        });
    }
    Ok(routes)
}

/// Routes that every kernel makes by itself from addresses are made by the guest's too.
const fn is_told(route: &view::Route) -> bool {
    route.table != LOCAL && route.protocol != BY_KERNEL && route.protocol != BY_REDIRECT
}

/// The name of the route's interface in the guest; absent when it has none, which is noted.
fn device<'a>(
    view: &View,
    config: &Config,
    endpoints: &'a [Endpoint],
    route: &view::Route,
    notes: &mut Vec<String>,
) -> Result<Option<&'a str>, Error> {
    let Some(index) = route.link else {
        // It is of no single interface, so that a later one has no part in it.
        if config.only.is_none() && !endpoints.is_empty() {
            let reason = untellable(route).unwrap_or_else(|| "it has no interface".to_owned());
            notes.push(format!(
                "the {} is not in the guest: {reason}",
                text(route, view)
            ));
        }
        return Ok(None);
    };
    let endpoint = endpoints.iter().find(|endpoint| endpoint.index == index);
    if let Some(endpoint) = endpoint {
        return Ok(Some(&endpoint.name));
    }
    let Some(link) = view.link(index) else {
        let message = format!(
            "the {} leads through the link {index}, which is not there",
            text(route, view)
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    };
    if config.only.is_none() && !endpoints.is_empty() {
        notes.push(format!(
            "the {} is not in the guest, which has no interface {}",
            text(route, view),
            link.name
        ));
    }
    Ok(None)
}

/// Why a guest cannot be told of a route.
fn untellable(route: &view::Route) -> Option<String> {
    if route.table != MAIN {
        return Some(format!(
            "it is in the table {}, and a guest has one table",
            route.table
        ));
    }
    if route.kind != UNICAST {
        return Some(format!(
            "it leads nowhere (type {} of rtnetlink)",
            route.kind
        ));
    }
    if !route.essential.is_empty() {
        return Some(format!(
            "a guest cannot be told of its {}",
            route.essential.join(", ")
        ));
    }
    None
}

fn text(route: &view::Route, view: &View) -> String {
    let mut text = match (route.destination, route.family) {
        (Some(destination), _) => format!("route to {destination}"),
        (None, IpFamily::V4) => "default route".to_owned(),
        (None, IpFamily::V6) => "default route of IPv6".to_owned(),
    };
    if let Some(gateway) = route.gateway {
        text += &format!(" by {gateway}");
    }
    if let Some(link) = route.link.and_then(|index| view.link(index)) {
        text += &format!(" on {}", link.name);
    }
    text
}
