//! What is decided of a network, and what is kept of it.

use serde_json::json;
use virtcontainers_network::View;
use virtcontainers_testkit::sample;
use virtcontainers_types::{
    Capabilities, Interface, NetworkConfig, RateLimit, SandboxConfig, SandboxId,
};

use super::{Attached, added, decide, fallback};

const ROOM: Capabilities = Capabilities {
    filesystem_sharing: false,
    pause: false,
    adopt: false,
    block_hotplug: false,
    network_devices: 4,
    network_hotplug: true,
    own_program: false,
};

/// A namespace with these links, each with an address and a default route whose metric is its index.
fn view(links: &[(u32, &str)]) -> View {
    let link = |(index, name): &(u32, &str)| {
        json!({"index": index, "name": name, "kind": "veth", "mtu": 1500, "up": true,
               "mac": format!("02:00:00:00:00:{index:02x}")})
    };
    let address =
        |(index, _): &(u32, &str)| json!({"link": index, "address": format!("10.0.{index}.2/24")});
    let route = |(index, _): &(u32, &str)| {
        json!({"family": "v4", "link": index, "gateway": format!("10.0.{index}.1"), "table": 254,
               "kind": 1, "protocol": 3, "metric": index})
    };
    let view = json!({
        "namespace": {"path": "/run/netns/a", "device": 4, "inode": 5},
        "links": links.iter().map(link).collect::<Vec<_>>(),
        "addresses": links.iter().map(address).collect::<Vec<_>>(),
        "routes": links.iter().map(route).collect::<Vec<_>>(),
    });
    serde_json::from_value(view).unwrap()
}

fn sandbox(network: NetworkConfig) -> SandboxConfig {
    SandboxConfig {
        network,
        ..sample::sandbox(SandboxId::new("s").unwrap(), Vec::new())
    }
}

fn link(device: &str, name: &str) -> Interface {
    let interface = json!({"device": device, "name": name, "addresses": [],
                           "hardware_address": "00:00:00:00:00:00"});
    serde_json::from_value(interface).unwrap()
}

/// What a machine has of these links from its start.
fn attached(links: &[(u32, &str)]) -> Attached {
    let mut attached = Attached::default();
    let config = sandbox(NetworkConfig::default());
    let plan = decide(&view(links), &config, &ROOM, &attached).unwrap();
    attached.devices = attached.planned(&plan);
    attached.say(plan, true);
    attached
}

fn names(attached: &Attached) -> Vec<(String, String)> {
    let interfaces = attached.status().interfaces.into_iter();
    interfaces.map(|one| (one.device, one.link)).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(id, link): &(&str, &str)| ((*id).to_owned(), (*link).to_owned());
    expected.iter().map(owned).collect()
}

#[test]
fn names_in_the_machine_are_given_again() {
    let both = [(2, "eth0"), (3, "eth1")];
    let had = attached(&both);
    assert_eq!(names(&had), pairs(&[("net0", "eth0"), ("net1", "eth1")]));
    let first = had.devices[0].clone();
    let mut left = had.without(&first);
    let config = sandbox(NetworkConfig::default());
    let plan = decide(&view(&both), &config, &ROOM, &left).unwrap();
    let new = left.planned(&plan);
    left.devices.extend(new);
    assert_eq!(names(&left), pairs(&[("net1", "eth1"), ("net0", "eth0")]));
}

#[test]
fn what_was_taken_away_is_told_and_stays_away() {
    let both = [(2, "eth0"), (3, "eth1")];
    let had = attached(&both);
    let first = had.devices[0].clone();
    let left = had.apart_from(&first);
    let skipped = left.status().skipped;
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].link, "eth0");
    let config = sandbox(NetworkConfig::default());
    let view = left.open_to(view(&both));
    let plan = decide(&view, &config, &ROOM, &left).unwrap();
    assert_eq!(plan.endpoints, []);
    // A link of the same name that was made since is another one.
    let again = left.open_to(self::view(&[(3, "eth1"), (9, "eth0")]));
    let plan = decide(&again, &config, &ROOM, &left).unwrap();
    assert_eq!(plan.endpoints[0].index, 9);
}

#[test]
fn a_device_whose_link_has_gone_is_seen() {
    let had = attached(&[(2, "eth0"), (3, "eth1")]);
    let gone = had.vanished(&view(&[(3, "eth1"), (9, "eth0")]));
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].id, "net0");
}

#[test]
fn what_is_configured_for_others_does_not_matter() {
    let limit = RateLimit {
        inbound: Some(1000),
        outbound: None,
    };
    let config = sandbox(NetworkConfig {
        rates: [("eth7".to_owned(), limit)].into(),
        vhost_user: [("eth8".to_owned(), "/run/switch".into())].into(),
        ..NetworkConfig::default()
    });
    let view = view(&[(2, "eth0")]);
    let plan = decide(&view, &config, &ROOM, &Attached::default()).unwrap();
    assert_eq!(plan.endpoints.len(), 1);
}

#[test]
fn names_that_the_guest_was_told_are_taken() {
    let both = [(2, "eth0"), (3, "eth1")];
    let config = sandbox(NetworkConfig::default());
    let mut had = attached(&[(2, "eth0")]);
    had.devices[0].interface.name = "lan0".to_owned();
    let refused = added(&view(&both), &config, &ROOM, &had, &link("eth1", "lan0"));
    assert!(refused.unwrap_err().to_string().contains("lan0"));
    let plan = added(&view(&both), &config, &ROOM, &had, &link("eth1", "lan1")).unwrap();
    assert_eq!(plan.guest.interfaces[0].name, "lan1");
    // The route through the new one is worse.
    assert_eq!(plan.guest.routes, []);
}

#[test]
fn routes_go_another_way_when_their_device_has_gone() {
    let both = [(2, "eth0"), (3, "eth1")];
    let had = attached(&both);
    let first = had.devices[0].clone();
    assert_eq!(first.routes.len(), 1, "the better default route");
    assert_eq!(had.devices[1].routes, []);
    let mut left = had.without(&first);
    left.devices[0].interface.name = "lan0".to_owned();
    let config = sandbox(NetworkConfig::default());
    let instead = fallback(&view(&both), &config, &ROOM, &left, &first.routes).unwrap();
    assert_eq!(instead.len(), 1);
    assert_eq!(instead[0].device, "lan0");
    assert_eq!(instead[0].destination, None);
}
