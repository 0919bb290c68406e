//! Routes and rules, from the kernel's messages.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RoutePreference,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use virtcontainers_types::{IpAddress, IpFamily};

use super::FAMILIES;
use crate::netlink::Netlink;
use crate::view::{Route, Rule};

/// The routes of all tables.
pub(super) fn routes(netlink: &Netlink) -> io::Result<Vec<Route>> {
    let mut routes = Vec::new();
    for family in FAMILIES {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let answers = netlink.list(&RouteNetlinkMessage::GetRoute(request))?;
        routes.extend(answers.iter().filter_map(|answer| match answer {
            // Without the family, the kernel answers with others.
            RouteNetlinkMessage::NewRoute(message) if message.header.address_family == family => {
                route(message)
            }
            _ => None,
        }));
    }
    Ok(routes)
}

fn family_of(family: AddressFamily) -> Option<IpFamily> {
    match family {
        AddressFamily::Inet => Some(IpFamily::V4),
        AddressFamily::Inet6 => Some(IpFamily::V6),
        _ => None,
    }
}

fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let mut route = Route {
        family: family_of(header.address_family)?,
        link: None,
        table: header.table.into(),
        kind: header.kind.into(),
        protocol: header.protocol.into(),
        scope: header.scope.into(),
        destination: None,
        gateway: None,
        source: None,
        metric: 0,
        mtu: 0,
        flags: header.flags.bits(),
        essential: Vec::new(),
        tuning: Vec::new(),
    };
    if header.tos != 0 {
        route
            .essential
            .push(format!("type of service {}", header.tos));
    }
    for attribute in &message.attributes {
        read(attribute, message, &mut route);
    }
    Some(route)
}

fn read(attribute: &RouteAttribute, message: &RouteMessage, route: &mut Route) {
    let mut essential = |what: &str| route.essential.push(what.to_owned());
    match attribute {
        RouteAttribute::Destination(destination) => {
            let prefix = message.header.destination_prefix_length;
            let destination = address(destination);
            route.destination = destination.and_then(|one| IpAddress::new(one, prefix).ok());
        }
        RouteAttribute::Gateway(gateway) => route.gateway = address(gateway),
        RouteAttribute::PrefSource(source) => route.source = address(source),
        RouteAttribute::Oif(index) => route.link = Some(*index),
        RouteAttribute::Table(table) => route.table = *table,
        RouteAttribute::Priority(metric) => route.metric = *metric,
        RouteAttribute::Metrics(metrics) => metrics.iter().for_each(|one| metric(one, route)),
        RouteAttribute::Source(_) => essential("source network"),
        RouteAttribute::MultiPath(_) => essential("several next hops"),
        RouteAttribute::NhId(_) => essential("next hop object"),
        RouteAttribute::Via(_) => essential("gateway of another family"),
        RouteAttribute::Encap(_) => essential("encapsulation"),
        RouteAttribute::Preference(preference) if *preference != RoutePreference::Medium => {
            route.tuning.push("preference".to_owned());
        }
        RouteAttribute::Realm(_) => route.tuning.push("realm".to_owned()),
        // Of the state of the route, not of the route.
        _ => {}
    }
}

fn metric(metric: &RouteMetric, route: &mut Route) {
    match metric {
        RouteMetric::Mtu(mtu) => route.mtu = *mtu,
        // The kernel lists the ones that were never set, too.
        RouteMetric::Lock(0) | RouteMetric::Hoplimit(0) => {}
        other => {
            let text = format!("{other:?}");
            let name = text.split('(').next().unwrap_or_default();
            route.tuning.push(name.to_lowercase());
        }
    }
}

/// The rules of both families.
pub(super) fn rules(netlink: &Netlink) -> io::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for family in FAMILIES {
        let mut request = RuleMessage::default();
        request.header.family = family;
        // A kernel may have been built without rules for a family.
        let answers = match netlink.list(&RouteNetlinkMessage::GetRule(request)) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => continue,
            answers => answers?,
        };
        rules.extend(answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRule(message) if message.header.family == family => {
                rule(message)
            }
            _ => None,
        }));
    }
    Ok(rules)
}

fn rule(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    let mut rule = Rule {
        family: family_of(header.family)?,
        priority: 0,
        table: header.table.into(),
        unconditional: header.action == RuleAction::ToTable && header.flags.is_empty(),
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::Protocol(_) => {}
            // The kernel says so of every rule.
            RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            _ => rule.unconditional = false,
        }
    }
    Some(rule)
}
