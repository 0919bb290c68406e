//! Interfaces that work already and are changed, in a network namespace with a veth pair.

use ttrpc::Code;
use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::types::{ARPNeighbor, IPAddress, IPFamily, Interface, Route};

use crate::harness::{Agent, code, ctx};

/// The hardware addresses of the two ends.
const A: &str = "02:00:5e:00:00:0a";
const B: &str = "02:00:5e:00:00:0b";

/// An agent with the links `va` and `vb`, which are down.
async fn start() -> Agent {
    let agent = Agent::start_with_network().await;
    agent.in_network("ip link set lo up");
    agent.in_network(&format!(
        "ip link add va address {A} type veth peer name vb address {B}"
    ));
    agent
}

/// The same, where `va` has addresses and is up.
async fn start_up() -> Agent {
    let agent = start().await;
    agent.in_network("ip link set vb up");
    let wanted = interface(A, "va", &["10.0.0.2/24", "fd00::2/64"]);
    update(&agent, wanted).await.unwrap();
    agent
}

fn interface(mac: &str, name: &str, addresses: &[&str]) -> Interface {
    let address = |text: &&str| {
        let (address, mask) = text.split_once('/').unwrap();
        IPAddress {
            address: address.to_owned(),
            mask: mask.to_owned(),
            ..Default::default()
        }
    };
    Interface {
        name: name.to_owned(),
        hwAddr: mac.to_owned(),
        IPAddresses: addresses.iter().map(address).collect(),
        ..Default::default()
    }
}

async fn update(agent: &Agent, interface: Interface) -> ttrpc::Result<Interface> {
    let request = UpdateInterfaceRequest {
        interface: Some(interface).into(),
        ..Default::default()
    };
    agent.api.update_interface(ctx(), &request).await
}

fn route(dest: &str, gateway: &str, device: &str) -> Route {
    let v6 = dest.contains(':') || gateway.contains(':');
    Route {
        dest: dest.to_owned(),
        gateway: gateway.to_owned(),
        device: device.to_owned(),
        family: if v6 { IPFamily::v6 } else { IPFamily::v4 }.into(),
        ..Default::default()
    }
}

async fn set_routes(agent: &Agent, routes: &[Route]) -> ttrpc::Result<Vec<Route>> {
    let routes = Routes {
        Routes: routes.to_vec(),
        ..Default::default()
    };
    let request = UpdateRoutesRequest {
        routes: Some(routes).into(),
        ..Default::default()
    };
    let reply = agent.api.update_routes(ctx(), &request).await;
    reply.map(|reply| reply.Routes)
}

fn neighbour(address: &str, mac: &str, flags: i32) -> ARPNeighbor {
    ARPNeighbor {
        toIPAddress: Some(IPAddress {
            address: address.to_owned(),
            ..Default::default()
        })
        .into(),
        device: "va".to_owned(),
        lladdr: mac.to_owned(),
        flags,
        ..Default::default()
    }
}

async fn add_neighbours(agent: &Agent, neighbours: Vec<ARPNeighbor>) -> ttrpc::Result<()> {
    let list = ARPNeighbors {
        ARPNeighbors: neighbours,
        ..Default::default()
    };
    let request = AddARPNeighborsRequest {
        neighbors: Some(list).into(),
        ..Default::default()
    };
    agent.api.add_arp_neighbors(ctx(), &request).await.map(drop)
}

/// Addresses of a link as `FAMILY ADDRESS`, without those that the kernel made.
fn addresses(agent: &Agent, device: &str) -> Vec<String> {
    let text = agent.in_network(&format!("ip -o addr show dev {device} scope global"));
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| line.split_ascii_whitespace().nth(3).unwrap().to_owned())
        .collect();
    lines.sort();
    lines
}

/// Both tables of routes, sorted.
fn tables(agent: &Agent) -> Vec<String> {
    let text = agent.in_network("ip route show") + &agent.in_network("ip -6 route show");
    let mut lines: Vec<_> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

fn has(lines: &[String], words: &str) -> bool {
    lines.iter().any(|line| line.contains(words))
}

#[tokio::test]
async fn an_address_of_ipv6_works_at_once() {
    let agent = start_up().await;
    let listed = agent.in_network("ip -o -6 addr show dev va scope global");
    assert!(listed.contains("fd00::2/64"), "{listed}");
    assert!(listed.contains("nodad"), "{listed}");
    assert!(!listed.contains("tentative"), "{listed}");
    // That of the link is made by the kernel, which may be at it now, but does not ask first.
    let asks = agent.in_network("cat /proc/sys/net/ipv6/conf/va/accept_dad");
    assert_eq!(asks, "0\n");
    // A route may use it as its source, which a tentative one must not be.
    let from = Route {
        source: "fd00::2".to_owned(),
        ..route("", "fd00::1", "va")
    };
    let listed = set_routes(&agent, std::slice::from_ref(&from)).await;
    assert!(listed.unwrap().contains(&from));
}

#[tokio::test]
async fn mtu_and_addresses_change_and_routes_stay() {
    let agent = start_up().await;
    set_routes(&agent, &[route("10.7.0.0/16", "10.0.0.1", "va")])
        .await
        .unwrap();
    let wanted = Interface {
        mtu: 1400,
        ..interface(A, "va", &["10.0.0.3/24", "10.0.0.4/24", "fd00::2/80"])
    };
    update(&agent, wanted).await.unwrap();
    assert_eq!(
        addresses(&agent, "va"),
        ["10.0.0.3/24", "10.0.0.4/24", "fd00::2/80"]
    );
    let link = agent.in_network("ip -o link show dev va");
    assert!(link.contains("mtu 1400"), "{link}");
    assert!(has(&tables(&agent), "10.7.0.0/16 via 10.0.0.1 dev va"));
    update(&agent, interface(A, "va", &[])).await.unwrap();
    assert!(addresses(&agent, "va").is_empty());
}

#[tokio::test]
async fn whoever_had_the_name_keeps_the_rest() {
    let agent = start_up().await;
    let routes = [
        route("", "10.0.0.1", "va"),
        route("10.7.0.0/16", "", "va"),
        route("", "fd00::1", "va"),
    ];
    set_routes(&agent, &routes).await.unwrap();
    add_neighbours(&agent, vec![neighbour("10.0.0.1", B, 0)])
        .await
        .unwrap();
    let before = tables(&agent);
    // `vb` takes the name of `va`, and `va` that of `vb`.
    update(&agent, interface(B, "va", &["10.9.0.2/24"]))
        .await
        .unwrap();
    assert!(agent.in_network("ip -o link show dev va").contains(B));
    assert_eq!(addresses(&agent, "va"), ["10.9.0.2/24"]);
    assert_eq!(addresses(&agent, "vb"), ["10.0.0.2/24", "fd00::2/64"]);
    let after = tables(&agent);
    for words in [
        "default via 10.0.0.1 dev vb",
        "10.7.0.0/16 dev vb",
        "default via fd00::1 dev vb",
    ] {
        assert!(has(&after, words), "{words}: {before:?} {after:?}");
    }
    let neighbours = agent.in_network("ip neigh show dev vb nud permanent");
    assert!(neighbours.contains("10.0.0.1"), "{neighbours}");
}

#[tokio::test]
async fn a_link_that_is_renamed_keeps_its_routes() {
    let agent = start_up().await;
    set_routes(&agent, &[route("", "10.0.0.1", "va")])
        .await
        .unwrap();
    update(&agent, interface(A, "eth5", &["10.0.0.2/24"]))
        .await
        .unwrap();
    assert_eq!(addresses(&agent, "eth5"), ["10.0.0.2/24"]);
    assert!(has(&tables(&agent), "default via 10.0.0.1 dev eth5"));
}

#[tokio::test]
async fn a_change_that_fails_is_taken_back() {
    let agent = start_up().await;
    set_routes(&agent, &[route("", "10.0.0.1", "va")])
        .await
        .unwrap();
    let before = (
        addresses(&agent, "va"),
        tables(&agent),
        agent.in_network("ip -o link show dev va"),
    );
    let too_large = Interface {
        mtu: 70_000,
        ..interface(A, "eth5", &["10.8.0.2/24"])
    };
    // This address is refused after the one before it was added.
    let no_address = interface(A, "eth5", &["10.8.0.2/24", "::1/128"]);
    for bad in [too_large, no_address] {
        let refused = update(&agent, bad).await;
        let text = format!("{:?}", refused.as_ref().unwrap_err());
        assert!(text.contains("interface eth5"), "{text}");
        assert_eq!(code(refused), Code::INTERNAL);
        let after = (
            addresses(&agent, "va"),
            tables(&agent),
            agent.in_network("ip -o link show dev va"),
        );
        assert_eq!(after, before);
    }
    // One that was down is down again, and has its name.
    let c = "02:00:5e:00:00:0c";
    agent.in_network(&format!(
        "ip link add vc0 address {c} type veth peer name vd0"
    ));
    let link = agent.in_network("ip -o link show dev vc0");
    let fresh = Interface {
        mtu: 70_000,
        ..interface(c, "eth6", &[])
    };
    assert_eq!(code(update(&agent, fresh).await), Code::INTERNAL);
    assert_eq!(agent.in_network("ip -o link show dev vc0"), link);
}

#[tokio::test]
async fn a_hardware_address_that_is_there_twice_is_named() {
    let agent = start().await;
    agent.in_network(&format!("ip link set vb address {A}"));
    let refused = update(&agent, interface(A, "eth5", &[])).await;
    let text = format!("{:?}", refused.as_ref().unwrap_err());
    assert!(
        text.contains("va and vb") || text.contains("vb and va"),
        "{text}"
    );
    assert!(text.contains(A), "{text}");
    assert_eq!(code(refused), Code::FAILED_PRECONDITION);
    // Whose name is said is meant.
    update(&agent, interface(A, "va", &["10.0.0.2/24"]))
        .await
        .unwrap();
    assert_eq!(addresses(&agent, "va"), ["10.0.0.2/24"]);
}

#[tokio::test]
async fn a_device_that_does_not_appear_is_named_by_its_path() {
    let agent = start().await;
    let absent = Interface {
        devicePath: "1e/1d".to_owned(),
        ..interface(A, "eth5", &[])
    };
    let refused = update(&agent, absent).await;
    let text = format!("{:?}", refused.as_ref().unwrap_err());
    assert!(text.contains("1e/1d"), "{text}");
    assert_eq!(code(refused), Code::INTERNAL);
}

#[tokio::test]
async fn what_goes_away_takes_its_routes_along() {
    let agent = start_up().await;
    set_routes(&agent, &[route("10.7.0.0/16", "10.0.0.1", "va")])
        .await
        .unwrap();
    agent.in_network("ip link del va");
    let request = ListRoutesRequest::new();
    let listed = agent.api.list_routes(ctx(), &request).await;
    let listed = listed.unwrap().Routes;
    assert!(!listed.iter().any(|route| route.dest.starts_with("10.")));
    let gone = |text: String| assert!(text.contains("Link not found"), "{text}");
    let routes = set_routes(&agent, &[route("10.7.0.0/16", "10.0.0.1", "va")]).await;
    gone(format!("{:?}", routes.unwrap_err()));
    let neighbours = add_neighbours(&agent, vec![neighbour("10.0.0.1", B, 0)]).await;
    gone(format!("{:?}", neighbours.unwrap_err()));
    let link = update(&agent, interface(A, "va", &[])).await;
    gone(format!("{:?}", link.unwrap_err()));
}

/// While it is set up again and again, the link is removed and made anew.
#[tokio::test]
async fn a_link_that_goes_away_meanwhile_is_not_found() {
    let agent = start().await;
    for _ in 0..20 {
        let (updated, ()) = tokio::join!(
            update(&agent, interface(A, "va", &["10.0.0.2/24"])),
            async {
                agent.in_network("ip link del va");
            }
        );
        if let Err(error) = updated {
            let text = format!("{error:?}");
            assert!(text.contains("Link not found"), "{text}");
        }
        agent.in_network(&format!(
            "ip link add va address {A} type veth peer name vb address {B}"
        ));
    }
}

#[tokio::test]
async fn routes_say_all_that_can_be_said() {
    let agent = start_up().await;
    let link = Route {
        scope: 253,
        source: "10.0.0.2".to_owned(),
        ..route("192.168.5.0/24", "", "va")
    };
    let on_link = Route {
        flags: 4,
        ..route("10.6.0.0/16", "172.31.0.1", "va")
    };
    let narrow = Route {
        mtu: 1300,
        ..route("10.5.0.0/16", "192.168.5.1", "va")
    };
    let wanted = [
        narrow,
        on_link,
        route("", "10.0.0.1", "va"),
        link,
        route("", "fd00::1", "va"),
        route("fd01::/64", "", "va"),
    ];
    let listed = set_routes(&agent, &wanted).await.unwrap();
    for one in &wanted {
        assert!(listed.contains(one), "{one:?}: {listed:?}");
    }
    // A list that was read can be written, and changes nothing.
    let before = tables(&agent);
    set_routes(&agent, &wanted).await.unwrap();
    assert_eq!(tables(&agent), before);
    // Without a scope it ends on the link, so that a gateway can be reached by it.
    let bare = [
        route("10.4.0.0/16", "192.168.6.1", "va"),
        route("192.168.6.0/24", "", "va"),
    ];
    set_routes(&agent, &bare).await.unwrap();
}

#[tokio::test]
async fn of_routes_all_or_none_are_set() {
    let agent = start_up().await;
    let first = [
        route("10.5.0.0/16", "10.0.0.1", "va"),
        route("", "fd00::1", "va"),
        Route {
            mtu: 1300,
            ..route("192.168.5.0/24", "", "va")
        },
    ];
    set_routes(&agent, &first).await.unwrap();
    let before = tables(&agent);
    let second = [
        route("10.5.0.0/16", "10.0.0.9", "va"),
        route("10.6.0.0/16", "10.0.0.9", "va"),
        route("", "fd00::9", "va"),
        route("fd02::/64", "fd00::9", "va"),
        route("192.168.5.0/24", "", "va"),
        // The kernel has one to there itself, with another metric.
        route("fd00::/64", "", "va"),
    ];
    let bad = route("10.8.0.0/16", "172.31.0.1", "va");
    let all = [&second[..], &[bad]].concat();
    let refused = set_routes(&agent, &all).await;
    let text = format!("{:?}", refused.as_ref().unwrap_err());
    assert!(text.contains("10.8.0.0/16"), "{text}");
    assert_eq!(code(refused), Code::INTERNAL);
    assert_eq!(tables(&agent), before);
    // Without the bad one they are set, in the place of the first.
    set_routes(&agent, &second).await.unwrap();
    let after = tables(&agent);
    assert!(has(&after, "10.5.0.0/16 via 10.0.0.9"), "{after:?}");
    assert!(!has(&after, "via 10.0.0.1 "), "{after:?}");
    assert!(!has(&after, "via fd00::1 "), "{after:?}");
}

#[tokio::test]
async fn of_neighbours_all_or_none_are_added() {
    let agent = start_up().await;
    let one = "02:00:5e:00:00:01";
    let two = "02:00:5e:00:00:02";
    /// `NTF_ROUTER`.
    const ROUTER: i32 = 0x80;
    add_neighbours(&agent, vec![neighbour("10.0.0.9", one, 0)])
        .await
        .unwrap();
    let all = || agent.in_network("ip neigh show dev va nud permanent");
    assert!(all().contains(one));
    // The last is refused: with so small packets, there is no IPv6.
    agent.in_network("ip link set vb mtu 1000");
    let bad = vec![
        neighbour("10.0.0.9", two, 0),
        neighbour("fd00::9", two, ROUTER),
        ARPNeighbor {
            device: "vb".to_owned(),
            ..neighbour("fd00::8", two, 0)
        },
    ];
    let refused = add_neighbours(&agent, bad.clone()).await;
    let text = format!("{:?}", refused.as_ref().unwrap_err());
    assert!(text.contains("fd00::8 on vb"), "{text}");
    assert_eq!(code(refused), Code::INTERNAL);
    assert!(all().contains(one) && !all().contains(two), "{}", all());
    add_neighbours(&agent, bad[..2].to_vec()).await.unwrap();
    let now = all();
    assert!(!now.contains(one), "{now}");
    assert!(now.contains(&format!("10.0.0.9 lladdr {two}")), "{now}");
    assert!(
        now.contains(&format!("fd00::9 lladdr {two} router")),
        "{now}"
    );
}
