//! Routes in the protocol's form and the kernel's. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteScope,
    RouteType,
};
use virtcontainers_agent_proto::types::{IPFamily, Route};

use crate::network::netlink::{Link, index};
use crate::network::parse::{self, width};
use crate::status::{Failure, Result};

/// The metric of a route of IPv6 that is told none (`IP6_RT_PRIO_USER` of the kernel).
const V6_METRIC: u32 = 1024;

/// What may be asked for of the flags of a route. The others say how it is.
const FLAGS: RouteFlags = RouteFlags::Onlink.union(RouteFlags::Pervasive);

/// One route in the kernel's form.
pub(super) fn message(route: &Route, links: &[Link]) -> Result<RouteMessage> {
    let gateway = given(&route.gateway).map(parse::ip).transpose()?;
    let v6 = gateway.map_or(route.family.enum_value() == Ok(IPFamily::v6), |ip| {
        ip.is_ipv6()
    });
    let destination = parse::destination(&route.dest, v6)?;
    let v6 = destination.address.is_ipv6();
    let same_family = |ip: IpAddr| -> Result<RouteAddress> {
        if ip.is_ipv6() == v6 {
            return Ok(ip.into());
        }
        Err(Failure::invalid(format!(
            "route to {:?}: {ip} is of another family",
            route.dest
        )))
    };
    let mut message = if v6 {
        // Said, so that an undo does not take the kernel's own route to there for it.
        RouteMessageBuilder::<Ipv6Addr>::new()
            .priority(V6_METRIC)
            .build()
    } else {
        RouteMessageBuilder::<Ipv4Addr>::new().build()
    };
    message.header.destination_prefix_length = destination.length;
    if destination.length > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(destination.address.into()));
    }
    if let Some(gateway) = gateway {
        message
            .attributes
            .push(RouteAttribute::Gateway(same_family(gateway)?));
    }
    if let Some(source) = given(&route.source) {
        let source = parse::prefix(source)?;
        let address = same_family(source.address)?;
        // One address is the one to send from; a network restricts who may use the route.
        if source.length == width(source.address) || source.length == 0 {
            message.attributes.push(RouteAttribute::PrefSource(address));
        } else {
            message.header.source_prefix_length = source.length;
            message.attributes.push(RouteAttribute::Source(address));
        }
    }
    if let Some(device) = given(&route.device) {
        let oif = RouteAttribute::Oif(index(links, device)?);
        message.attributes.push(oif);
    }
    let scope = u8::try_from(route.scope)
        .map_err(|_| Failure::invalid(format!("scope {} of a route", route.scope)))?;
    message.header.scope = match RouteScope::from(scope) {
        // Not said: without a gateway it ends on the link, else no gateway could be reached by it.
        RouteScope::Universe if gateway.is_none() && !v6 => RouteScope::Link,
        scope => scope,
    };
    message.header.flags = RouteFlags::from_bits_retain(route.flags) & FLAGS;
    if route.mtu > 0 {
        message
            .attributes
            .push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(route.mtu)]));
    }
    Ok(message)
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A route as the kernel lists it, in the form in which it takes it again.
pub(in crate::network) fn again(mut message: RouteMessage) -> RouteMessage {
    message.header.flags &= FLAGS;
    let mut attributes = message.attributes.iter();
    let by_object = attributes.any(|one| matches!(one, RouteAttribute::NhId(_)));
    message.attributes.retain(|attribute| match attribute {
        RouteAttribute::CacheInfo(_) => false,
        // Told for those who know no objects; both together are refused.
        RouteAttribute::Oif(_) | RouteAttribute::Gateway(_) | RouteAttribute::MultiPath(_) => {
            !by_object
        }
        _ => true,
    });
    message
}

/// Whether the two cannot be there at once, so that adding the one replaces the other.
pub(super) fn excludes(one: &RouteMessage, other: &RouteMessage) -> bool {
    let places = |message: &RouteMessage| {
        let header = &message.header;
        let v6 = header.address_family == AddressFamily::Inet6;
        let mut place = (
            u32::from(header.table),
            if v6 { V6_METRIC } else { 0 },
            None,
            None,
        );
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Table(table) => place.0 = *table,
                RouteAttribute::Priority(metric) => place.1 = *metric,
                RouteAttribute::Destination(address) => place.2 = Some(address.clone()),
                RouteAttribute::Source(address) => place.3 = Some(address.clone()),
                _ => {}
            }
        }
        let lengths = (
            header.destination_prefix_length,
            header.source_prefix_length,
        );
        (header.address_family, header.tos, lengths, place)
    };
    places(one) == places(other)
}

/// A route of the main table in the protocol's form.
pub(super) fn describe(message: &RouteMessage, links: &[Link]) -> Option<Route> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let family = match header.address_family {
        AddressFamily::Inet => IPFamily::v4,
        AddressFamily::Inet6 => IPFamily::v6,
        _ => return None,
    };
    let mut route = Route {
        scope: u8::from(header.scope).into(),
        family: family.into(),
        flags: header.flags.bits(),
        ..Route::default()
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                route.dest = format!("{}/{}", text(address), header.destination_prefix_length);
            }
            RouteAttribute::Gateway(address) => route.gateway = text(address),
            RouteAttribute::PrefSource(address) => route.source = text(address),
            RouteAttribute::Oif(index) => {
                // Without its link it has gone, too.
                let link = links.iter().find(|link| link.index == *index)?;
                route.device.clone_from(&link.name);
            }
            RouteAttribute::Metrics(metrics) => {
                for metric in metrics {
                    if let RouteMetric::Mtu(mtu) = metric {
                        route.mtu = *mtu;
                    }
                }
            }
            _ => {}
        }
    }
    Some(route)
}

fn text(address: &RouteAddress) -> String {
    match address {
        RouteAddress::Inet(address) => address.to_string(),
        RouteAddress::Inet6(address) => address.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Vec<Link> {
        vec![Link {
            index: 7,
            name: "eth0".to_owned(),
            mac: Vec::new(),
            mtu: 1500,
            up: true,
            no_arp: false,
        }]
    }

    fn route(dest: &str, gateway: &str, source: &str) -> Route {
        Route {
            dest: dest.to_owned(),
            gateway: gateway.to_owned(),
            source: source.to_owned(),
            device: "eth0".to_owned(),
            ..Route::default()
        }
    }

    /// To the kernel's form and back.
    fn round_trip(route: &Route) -> Option<Route> {
        describe(&message(route, &links()).unwrap(), &links())
    }

    #[test]
    fn routes_come_back_as_they_were_asked_for() {
        for wanted in [
            route("", "10.0.0.1", ""),
            Route {
                scope: 253,
                ..route("10.0.0.0/24", "", "10.0.0.2")
            },
            route("192.168.0.0/16", "10.0.0.1", ""),
        ] {
            assert_eq!(round_trip(&wanted), Some(wanted));
        }
        let v6 = Route {
            family: IPFamily::v6.into(),
            ..route("", "fd00::1", "")
        };
        assert_eq!(round_trip(&v6), Some(v6));
    }

    #[test]
    fn without_a_gateway_a_route_ends_on_the_link() {
        let listed = round_trip(&route("10.0.0.0/24", "", "")).unwrap();
        assert_eq!(listed.scope, 253);
    }

    #[test]
    fn the_state_of_a_route_is_not_asked_for() {
        let asked = Route {
            flags: (RouteFlags::Onlink | RouteFlags::Linkdown).bits(),
            ..route("", "10.0.0.1", "")
        };
        let message = message(&asked, &links()).unwrap();
        assert_eq!(message.header.flags, RouteFlags::Onlink);
        assert_eq!(again(message.clone()), message);
    }

    #[test]
    fn routes_exclude_each_other_by_where_they_lead() {
        let kernel =
            |dest: &str, gateway: &str| message(&route(dest, gateway, ""), &links()).unwrap();
        assert!(excludes(&kernel("", "10.0.0.1"), &kernel("", "10.0.0.9")));
        assert!(!excludes(&kernel("", "10.0.0.1"), &kernel("", "fd00::1")));
        let mut other = kernel("10.1.0.0/16", "10.0.0.1");
        assert!(excludes(&other, &kernel("10.1.0.0/16", "")));
        assert!(!excludes(&other, &kernel("10.1.0.0/24", "")));
        other.attributes.push(RouteAttribute::Priority(7));
        assert!(!excludes(&other, &kernel("10.1.0.0/16", "")));
        // A route of which nobody said so has that metric.
        let mut listed = kernel("fd00::/64", "");
        assert!(excludes(&listed, &kernel("fd00::/64", "")));
        listed
            .attributes
            .retain(|one| !matches!(one, RouteAttribute::Priority(_)));
        assert!(excludes(&listed, &kernel("fd00::/64", "")));
    }

    #[test]
    fn what_is_told_beside_a_next_hop_object_is_not_told_again() {
        let mut listed = message(&route("", "10.0.0.1", ""), &links()).unwrap();
        listed.attributes.push(RouteAttribute::NhId(3));
        assert_eq!(again(listed).attributes, [RouteAttribute::NhId(3)]);
    }

    #[test]
    fn families_must_agree_and_links_exist() {
        assert!(message(&route("10.0.0.0/8", "fd00::1", ""), &links()).is_err());
        assert!(message(&route("fd00::/8", "", "10.0.0.1"), &links()).is_err());
        assert!(message(&route("10.0.0.0/8", "", ""), &[]).is_err());
        assert!(message(&route("10.0.0.0/33", "", ""), &links()).is_err());
        assert!(message(&route("", "gateway", ""), &links()).is_err());
    }
}
