//! Interfaces, routes and neighbours, in a network namespace with nothing but its loopback link.

use ttrpc::Code;
use virtcontainers_agent_proto::agent::*;
use virtcontainers_agent_proto::types::{ARPNeighbor, IPAddress, IPFamily, Interface, Route};

use crate::harness::{Agent, code, ctx};

fn interface(name: &str, addresses: &[(&str, &str)]) -> Interface {
    let address = |(address, mask): &(&str, &str)| IPAddress {
        address: (*address).to_owned(),
        mask: (*mask).to_owned(),
        ..Default::default()
    };
    Interface {
        name: name.to_owned(),
        hwAddr: "00:00:00:00:00:00".to_owned(),
        mtu: 9000,
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

async fn only_interface(agent: &Agent) -> Interface {
    let mut list = agent
        .api
        .list_interfaces(ctx(), &ListInterfacesRequest::new())
        .await
        .unwrap();
    // Some kernels put tunnel devices into every new namespace.
    list.Interfaces.retain(|interface| interface.mtu == 9000);
    assert_eq!(list.Interfaces.len(), 1, "{list:?}");
    list.Interfaces.remove(0)
}

fn addresses(interface: &Interface) -> Vec<String> {
    let v4 = |address: &&IPAddress| address.family.enum_value() == Ok(IPFamily::v4);
    let text = |address: &IPAddress| format!("{}/{}", address.address, address.mask);
    interface.IPAddresses.iter().filter(v4).map(text).collect()
}

#[tokio::test]
async fn an_interface_becomes_what_was_asked_for() {
    let agent = Agent::start_with_network().await;
    let wanted = interface("eth0", &[("10.0.0.2", "24"), ("10.0.1.2", "16")]);
    let echo = update(&agent, wanted.clone()).await.unwrap();
    assert_eq!(echo, wanted);
    let here = only_interface(&agent).await;
    assert_eq!((here.name.as_str(), here.mtu), ("eth0", 9000));
    let mut listed = addresses(&here);
    listed.retain(|address| address != "127.0.0.1/8");
    listed.sort();
    assert_eq!(listed, ["10.0.0.2/24", "10.0.1.2/16"]);
    // Again, with other addresses: those of before are gone. An mtu of 0 changes nothing.
    let other = Interface {
        mtu: 0,
        ..interface("eth0", &[("10.9.0.2", "24")])
    };
    update(&agent, other).await.unwrap();
    let mut listed = addresses(&only_interface(&agent).await);
    listed.retain(|address| address != "127.0.0.1/8");
    assert_eq!(listed, ["10.9.0.2/24"]);
}

#[tokio::test]
async fn interfaces_that_cannot_be_meant_are_refused() {
    let agent = Agent::start_with_network().await;
    let empty = UpdateInterfaceRequest::new();
    let refused = agent.api.update_interface(ctx(), &empty).await;
    assert_eq!(code(refused), Code::INVALID_ARGUMENT);
    let good = || interface("eth0", &[]);
    for (what, bad) in [
        ("address", interface("eth0", &[("10.0.0", "24")])),
        ("mask", interface("eth0", &[("10.0.0.2", "255.255.255.0")])),
        ("name", interface("a/b", &[])),
        ("mtu", Interface { mtu: 10, ..good() }),
        (
            "large mtu",
            Interface {
                mtu: 1 << 40,
                ..good()
            },
        ),
        (
            "mac",
            Interface {
                hwAddr: "0".into(),
                ..good()
            },
        ),
        (
            "path",
            Interface {
                devicePath: "zz".into(),
                ..good()
            },
        ),
    ] {
        assert_eq!(
            code(update(&agent, bad).await),
            Code::INVALID_ARGUMENT,
            "{what}"
        );
    }
    let absent = Interface {
        hwAddr: "02:00:00:00:00:01".into(),
        ..good()
    };
    let text = format!("{:?}", update(&agent, absent).await.unwrap_err());
    assert!(
        text.contains("Link not found"),
        "hosts try again on these words: {text}"
    );
}

#[tokio::test]
async fn routes_are_added_replaced_and_listed() {
    let agent = Agent::start_with_network().await;
    update(&agent, interface("eth0", &[("10.0.0.2", "24")]))
        .await
        .unwrap();
    let route = |dest: &str, gateway: &str, source: &str| Route {
        dest: dest.into(),
        gateway: gateway.into(),
        source: source.into(),
        device: "eth0".into(),
        ..Default::default()
    };
    let set = |routes: Vec<Route>| {
        let routes = Routes {
            Routes: routes,
            ..Default::default()
        };
        UpdateRoutesRequest {
            routes: Some(routes).into(),
            ..Default::default()
        }
    };
    // The one by a gateway comes first and still works: it is sent after the one it needs.
    let link = Route {
        scope: 253,
        ..route("192.168.5.0/24", "", "10.0.0.2")
    };
    let wanted = set(vec![
        route("172.16.0.0/12", "192.168.5.1", ""),
        link.clone(),
    ]);
    for _ in 0..2 {
        let listed = agent
            .api
            .update_routes(ctx(), &wanted)
            .await
            .unwrap()
            .Routes;
        assert!(listed.contains(&link), "{listed:?}");
        let far = listed.iter().filter(|route| route.dest == "172.16.0.0/12");
        assert_eq!(
            far.map(|route| route.gateway.as_str()).collect::<Vec<_>>(),
            ["192.168.5.1"]
        );
    }
    let listed = agent
        .api
        .list_routes(ctx(), &ListRoutesRequest::new())
        .await
        .unwrap();
    assert!(listed.Routes.contains(&link));

    let missing = agent
        .api
        .update_routes(ctx(), &UpdateRoutesRequest::new())
        .await;
    assert_eq!(code(missing), Code::INVALID_ARGUMENT);
    for bad in [route("10.0.0.0/99", "", ""), route("", "nowhere", "")] {
        let refused = agent.api.update_routes(ctx(), &set(vec![bad])).await;
        assert_eq!(code(refused), Code::INVALID_ARGUMENT);
    }
    let elsewhere = Route {
        device: "eth9".into(),
        ..route("10.7.0.0/16", "", "")
    };
    assert_eq!(
        code(agent.api.update_routes(ctx(), &set(vec![elsewhere])).await),
        Code::INTERNAL
    );
}

#[tokio::test]
async fn neighbours_are_checked_and_added() {
    let agent = Agent::start_with_network().await;
    update(&agent, interface("eth0", &[("10.0.0.2", "24")]))
        .await
        .unwrap();
    let add = |address: &str, mac: &str, device: &str| {
        let neighbour = ARPNeighbor {
            toIPAddress: Some(IPAddress {
                address: address.into(),
                ..Default::default()
            })
            .into(),
            device: device.into(),
            lladdr: mac.into(),
            ..Default::default()
        };
        let list = ARPNeighbors {
            ARPNeighbors: vec![neighbour],
            ..Default::default()
        };
        AddARPNeighborsRequest {
            neighbors: Some(list).into(),
            ..Default::default()
        }
    };
    for _ in 0..2 {
        let good = add("10.0.0.9", "02:00:00:00:00:09", "eth0");
        agent.api.add_arp_neighbors(ctx(), &good).await.unwrap();
    }
    for (bad, expected) in [
        (
            add("10.0.0", "02:00:00:00:00:09", "eth0"),
            Code::INVALID_ARGUMENT,
        ),
        (add("10.0.0.9", "02:00", "eth0"), Code::INVALID_ARGUMENT),
        (add("10.0.0.9", "02:00:00:00:00:09", "eth9"), Code::INTERNAL),
        (AddARPNeighborsRequest::new(), Code::INVALID_ARGUMENT),
    ] {
        assert_eq!(
            code(agent.api.add_arp_neighbors(ctx(), &bad).await),
            expected
        );
    }
}
