//! Which routes the guest is told, and why not of others.

use std::collections::BTreeMap;

use virtcontainers_types::{IpFamily, Route};

use super::reach::out_of_reach;
use crate::view::Link;
use crate::{Config, Error, ErrorKind, View, view};

/// `RTN_UNICAST`, `RTPROT_REDIRECT`, `RTPROT_KERNEL`, `RT_TABLE_MAIN`,
/// `RTNH_F_ONLINK` (linux/rtnetlink.h).
const UNICAST: u8 = 1;
const BY_REDIRECT: u8 = 1;
const BY_KERNEL: u8 = 2;
const MAIN: u32 = 254;
const ON_LINK: u32 = 4;

/// The routes that a guest has through the interfaces of [`Config::connected`] as the namespace is
/// now, those without a gateway first: what to tell it after one of its interfaces has gone. Those
/// that are no longer there are passed over. Pure.
///
/// Errors: `Invalid` for a route through a link that is not there.
pub fn connected_routes(view: &View, config: &Config) -> Result<Vec<Route>, Error> {
    let links = view.links.iter();
    let links: Vec<_> = links
        .filter(|link| config.connected.contains(&link.name))
        .collect();
    let mut routes = routes(view, config, &links, &mut Vec::new())?;
    routes.sort_by_key(|route| route.gateway.is_some());
    Ok(routes)
}

/// The routes of the guest through new interfaces, the least metric first. It knows no metrics, so
/// that of several routes to one destination it has the best, of those through the interfaces that
/// are connected already, too.
pub(super) fn routes(
    view: &View,
    config: &Config,
    new: &[&Link],
    notes: &mut Vec<String>,
) -> Result<Vec<Route>, Error> {
    let mut candidates = Vec::new();
    for route in view.routes.iter().filter(|route| is_told(route)) {
        if let Some(way) = way(view, config, new, route, notes)? {
            candidates.push((route, way));
        }
    }
    // Among equals stays what is there.
    candidates.sort_by_key(|(route, way)| (route.metric, matches!(way, Way::New(_))));
    let mut destinations: BTreeMap<_, bool> = BTreeMap::new();
    let mut routes = Vec::new();
    for (route, way) in candidates {
        let text = text(route, view);
        let is_new = matches!(way, Way::New(_));
        let (Way::New(link) | Way::Connected(link)) = way;
        let unreachable = || out_of_reach(view, config, link, route);
        if let Some(reason) = untellable(route).or_else(unreachable) {
            // Those of others were noted with them.
            if is_new {
                notes.push(format!("the {text} is not in the guest: {reason}"));
            }
            continue;
        }
        let destination = (route.family == IpFamily::V6, route.destination);
        match (destinations.get(&destination), is_new) {
            (Some(_), true) => notes.push(format!(
                "the {text} is not in the guest: it has another one to there, and knows no metrics"
            )),
            (Some(true), false) => notes.push(format!(
                "the {text} gives way to a better one to there, since the guest knows no metrics"
            )),
            (Some(false), false) | (None, _) => {}
        }
        if destinations.contains_key(&destination) {
            continue;
        }
        destinations.insert(destination, is_new);
        if is_new {
            routes.push(told(config, link, route, &text, notes));
        }
    }
    Ok(routes)
}

/// The guest's route.
fn told(
    config: &Config,
    link: &Link,
    route: &view::Route,
    text: &str,
    notes: &mut Vec<String>,
) -> Route {
    if !route.tuning.is_empty() {
        let parts = route.tuning.join(", ");
        notes.push(format!("the {text} is in the guest without its {parts}"));
    }
    let given = config.addresses_of(&link.name);
    let has = |source| given.is_empty() || given.iter().any(|one| one.address() == source);
    let source = route.source.filter(|source| has(*source));
    if let Some(source) = route.source.filter(|_| source.is_none()) {
        notes.push(format!(
            "the {text} is in the guest without its source {source}, which the guest has not"
        ));
    }
    Route {
        family: route.family,
        destination: route.destination,
        gateway: route.gateway,
        device: config.guest_name(&link.name).to_owned(),
        source,
        scope: route.scope,
        flags: route.flags & ON_LINK,
        mtu: route.mtu,
    }
}

/// Routes that every kernel makes by itself from addresses are made by the guest's too.
const fn is_told(route: &view::Route) -> bool {
    route.protocol != BY_KERNEL && route.protocol != BY_REDIRECT
}

/// What a route leads through.
#[derive(Debug, Clone, Copy)]
enum Way<'a> {
    /// An interface that is connected now.
    New(&'a Link),
    /// One that was connected before.
    Connected(&'a Link),
}

/// What a route leads through; absent when the guest has no such interface, which is noted.
fn way<'a>(
    view: &'a View,
    config: &Config,
    new: &[&'a Link],
    route: &view::Route,
    notes: &mut Vec<String>,
) -> Result<Option<Way<'a>>, Error> {
    let Some(index) = route.link else {
        // It is of no single interface, so that a later one has no part in it.
        if config.only.is_none() && !new.is_empty() {
            let reason = untellable(route).unwrap_or_else(|| "it has no interface".to_owned());
            notes.push(format!(
                "the {} is not in the guest: {reason}",
                text(route, view)
            ));
        }
        return Ok(None);
    };
    if let Some(link) = new.iter().find(|link| link.index == index) {
        return Ok(Some(Way::New(link)));
    }
    let Some(link) = view.link(index) else {
        let message = format!(
            "the {} leads through the link {index}, which is not there",
            text(route, view)
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    };
    if config.connected.contains(&link.name) {
        return Ok(Some(Way::Connected(link)));
    }
    if config.only.is_none() && !new.is_empty() {
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
