//! `UpdateRoutes` and `ListRoutes`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteScope,
    RouteType,
};
use virtcontainers_agent_proto::agent::{Routes, UpdateRoutesRequest};
use virtcontainers_agent_proto::types::{IPFamily, Route};

use super::netlink::{Link, Netlink, failed};
use super::parse::{self, width};
use crate::agent::Agent;
use crate::modules::NET;
use crate::status::{Failure, Result};

/// Adds or replaces routes; those without a gateway first, since the others need them. Gives the
/// main table.
///
/// # Errors
/// INVALID_ARGUMENT for an address that is none, INTERNAL for an unknown link or what the kernel
/// refuses.
pub(crate) async fn update_routes(agent: &Agent, request: UpdateRoutesRequest) -> Result<Routes> {
    let mut routes = request
        .routes
        .into_option()
        .ok_or_else(|| Failure::invalid("the request has no routes"))?
        .Routes;
    routes.sort_by_key(|route| !route.gateway.is_empty());
    agent.modules.load([NET]).await?;
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    let messages = routes
        .iter()
        .map(|route| message(route, &links))
        .collect::<Result<Vec<_>>>()?;
    for (route, message) in routes.iter().zip(messages) {
        let done = netlink
            .handle
            .route()
            .add(message)
            .replace()
            .execute()
            .await;
        match done {
            Ok(()) => {}
            Err(rtnetlink::Error::NetlinkError(error))
                if error.to_io().raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => {
                let what = format!("route to {:?} on {:?}", route.dest, route.device);
                return Err(failed(what, error));
            }
        }
    }
    list(&netlink, &links).await
}

/// One route in the kernel's form.
fn message(route: &Route, links: &[Link]) -> Result<RouteMessage> {
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
        RouteMessageBuilder::<Ipv6Addr>::new().build()
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
        let link = links
            .iter()
            .find(|link| link.name == device)
            .ok_or_else(|| super::netlink::not_found(device))?;
        message.attributes.push(RouteAttribute::Oif(link.index));
    }
    let scope = u8::try_from(route.scope)
        .map_err(|_| Failure::invalid(format!("scope {} of a route", route.scope)))?;
    message.header.scope = RouteScope::from(scope);
    message.header.flags = RouteFlags::from_bits_retain(route.flags);
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

/// The main table. A default route has an empty destination, as in requests.
///
/// # Errors
/// INTERNAL when the kernel does not tell.
pub(crate) async fn list_routes() -> Result<Routes> {
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    list(&netlink, &links).await
}

async fn list(netlink: &Netlink, links: &[Link]) -> Result<Routes> {
    let mut routes = Vec::new();
    let questions = [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ];
    for question in questions {
        let messages: Vec<RouteMessage> = netlink
            .handle
            .route()
            .get(question)
            .execute()
            .try_collect()
            .await
            .map_err(|error| failed("list routes", error))?;
        routes.extend(
            messages
                .iter()
                .filter_map(|message| describe(message, links)),
        );
    }
    Ok(Routes {
        Routes: routes,
        ..Routes::default()
    })
}

/// A route of the main table in the protocol's form.
fn describe(message: &RouteMessage, links: &[Link]) -> Option<Route> {
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
                let link = links.iter().find(|link| link.index == *index);
                route.device = link.map(|link| link.name.clone()).unwrap_or_default();
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
            route("10.0.0.0/24", "", "10.0.0.2"),
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
    fn families_must_agree_and_links_exist() {
        assert!(message(&route("10.0.0.0/8", "fd00::1", ""), &links()).is_err());
        assert!(message(&route("fd00::/8", "", "10.0.0.1"), &links()).is_err());
        assert!(message(&route("10.0.0.0/8", "", ""), &[]).is_err());
        assert!(message(&route("10.0.0.0/33", "", ""), &links()).is_err());
        assert!(message(&route("", "gateway", ""), &links()).is_err());
    }
}
