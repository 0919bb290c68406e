//! `UpdateRoutes` and `ListRoutes`.

use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use virtcontainers_agent_proto::agent::{Routes, UpdateRoutesRequest};

use super::netlink::{Netlink, errno, failed};
use crate::agent::Agent;
use crate::modules::NET;
use crate::status::{Failure, Result};

mod form;

pub(super) use form::again;

/// Adds routes in the place of those to the same destination in the main table, whatever link those
/// are on; the kernel's own of IPv6 stay. Those without a gateway come first, since the others need
/// them. Gives the main table. All or none: when one is refused, those before it are undone.
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
        .map(|route| form::message(route, &links))
        .collect::<Result<Vec<_>>>()?;
    let before = all(&netlink).await?;
    let mut done = Vec::new();
    for (route, message) in routes.iter().zip(messages) {
        match replace(&netlink, message.clone()).await {
            Ok(true) => done.push(message),
            Ok(false) => {}
            Err(error) => {
                let target = if route.dest.is_empty() {
                    "default"
                } else {
                    &route.dest
                };
                let what = format!("route to {target} on {:?}", route.device);
                let failure = failed(what, error);
                return Err(match undo(&netlink, &before, &done).await {
                    Ok(()) => failure,
                    Err(second) => failure.within(format!("{second}, after")),
                });
            }
        }
    }
    list(&netlink).await
}

/// Puts a route in the place of the one to the same destination. `false`: it was there already.
async fn replace(
    netlink: &Netlink,
    message: RouteMessage,
) -> std::result::Result<bool, rtnetlink::Error> {
    let request = netlink.handle.route().add(message).replace();
    match request.execute().await {
        Ok(()) => Ok(true),
        Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts back what the routes have replaced, and removes those that have replaced nothing, the last
/// first. Goes on when one fails.
async fn undo(netlink: &Netlink, before: &[RouteMessage], done: &[RouteMessage]) -> Result<()> {
    let mut outcome = Ok(());
    for message in done.iter().rev() {
        let undone = match before.iter().find(|old| form::excludes(old, message)) {
            Some(old) => replace(netlink, again(old.clone())).await.map(drop),
            None => {
                let request = netlink.handle.route().del(message.clone());
                match request.execute().await {
                    Err(error) if errno(&error) == Some(libc::ESRCH) => Ok(()),
                    done => done,
                }
            }
        };
        if let Err(error) = undone {
            let failure = failed("put back what was there before", error);
            outcome = outcome.and(Err(failure));
        }
    }
    outcome
}

/// Whether it leads to a router, not to the link itself.
pub(super) fn has_gateway(message: &RouteMessage) -> bool {
    let mut attributes = message.attributes.iter();
    attributes.any(|one| matches!(one, RouteAttribute::Gateway(_) | RouteAttribute::Via(_)))
}

/// The main table. A default route has an empty destination, as in requests.
///
/// # Errors
/// INTERNAL when the kernel does not tell.
pub(crate) async fn list_routes() -> Result<Routes> {
    list(&Netlink::open()?).await
}

async fn list(netlink: &Netlink) -> Result<Routes> {
    let messages = all(netlink).await?;
    // After the routes, so that one whose link is not among them has gone with it.
    let links = netlink.links().await?;
    Ok(Routes {
        Routes: messages
            .iter()
            .filter_map(|message| form::describe(message, &links))
            .collect(),
        ..Routes::default()
    })
}

/// The routes of all tables.
///
/// # Errors
/// INTERNAL when the kernel does not tell.
pub(super) async fn all(netlink: &Netlink) -> Result<Vec<RouteMessage>> {
    let mut routes = Vec::new();
    let questions = [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ];
    for question in questions {
        let answers = netlink.handle.route().get(question).execute();
        let answers: std::result::Result<Vec<_>, _> = answers.try_collect().await;
        routes.extend(answers.map_err(|error| failed("list routes", error))?);
    }
    Ok(routes)
}
