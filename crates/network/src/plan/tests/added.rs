//! Interfaces that come to a machine that has some, with what the guest has in their place.

use serde_json::{Value, json};

use super::{changed, plan, refused};
use crate::{ErrorKind, Plan, connected_routes};

fn added(changes: &[(&str, Value)]) -> Plan {
    let input = changed("added", changes);
    plan(&input.view, &input.config).expect("a plan")
}

fn routes(plan: &Plan) -> Vec<(String, String)> {
    let routes = plan.guest.routes.iter();
    let route = |route: &virtcontainers_types::Route| {
        let to = route.destination.map(|to| to.to_string());
        (to.unwrap_or_default(), route.device.clone())
    };
    routes.map(route).collect()
}

fn is_noted(plan: &Plan, words: &[&str]) -> bool {
    let mut notes = plan.notes.iter();
    notes.any(|note| words.iter().all(|word| note.contains(word)))
}

#[test]
fn a_later_interface_under_another_name() {
    let plan = super::check("added");
    let interface = &plan.guest.interfaces[0];
    assert_eq!((&*interface.device, &*interface.name), ("net1", "eth1"));
    assert_eq!((interface.mtu, plan.endpoints[0].mtu), (1300, 1400));
    assert!(plan.guest.neighbors.iter().all(|one| one.device == "eth1"));
}

#[test]
fn the_default_route_stays_where_the_better_one_is() {
    let metric = "/view/routes/1/metric";
    for (other, gets) in [(0, false), (99, false), (100, false), (101, true)] {
        let plan = added(&[(metric, json!(other))]);
        let has = routes(&plan).contains(&(String::new(), "eth1".to_owned()));
        assert_eq!(has, gets, "{other}: {:?}", plan.guest.routes);
        let words = if gets { "gives way" } else { "another one" };
        assert!(
            is_noted(&plan, &["default route", words]),
            "{:?}",
            plan.notes
        );
    }
}

#[test]
fn a_route_that_the_guest_cannot_have_keeps_no_other_away() {
    // Nothing is there to keep it from.
    let plan = added(&[("/config/connected", json!([]))]);
    assert!(routes(&plan).contains(&(String::new(), "eth1".to_owned())));
    // It is out of reach with the addresses that the guest has.
    let overrides = json!({"net1": {}, "eth0": {"addresses": ["10.1.0.2/24"]}});
    let plan = added(&[("/config/overrides", overrides)]);
    assert!(routes(&plan).contains(&(String::new(), "net1".to_owned())));
}

#[test]
fn routes_fit_the_addresses_that_were_given() {
    let overrides = json!({"net1": {"addresses": ["198.18.0.9/24"]}});
    let plan = added(&[
        ("/config/overrides", overrides),
        ("/view/routes/1/metric", json!(101)),
    ]);
    let addresses: Vec<_> = plan.addresses().map(|one| one.to_string()).collect();
    assert_eq!(addresses, ["198.18.0.9"]);
    let expected = [("192.0.9.0/24", "net1"), ("192.0.8.0/24", "net1")];
    let expected = expected.map(|(to, by)| (to.to_owned(), by.to_owned()));
    assert_eq!(routes(&plan), expected);
    assert!(
        is_noted(&plan, &["default route", "no network"]),
        "{:?}",
        plan.notes
    );
    assert!(is_noted(&plan, &["192.0.9.0/24", "without its source"]));
    assert!(plan.guest.routes.iter().all(|route| route.source.is_none()));
}

#[test]
fn an_interface_without_addresses_is_connected_when_it_is_given_some() {
    let with = |addresses: Value| {
        [
            ("/config/only", json!(["spare"])),
            (
                "/config/overrides",
                json!({"spare": {"addresses": addresses}}),
            ),
        ]
    };
    let error = refused("added", &with(json!([])));
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("no address"), "{error}");
    let plan = added(&with(json!(["10.3.0.2/24", "fd00:3::2/64"])));
    assert_eq!(plan.guest.interfaces[0].addresses.len(), 2);
    assert_eq!(plan.guest.interfaces[0].name, "spare");
}

#[test]
fn what_is_connected_is_not_planned_again() {
    let plan = added(&[("/config/only", json!(null))]);
    let names: Vec<_> = plan.endpoints.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["net1"]);
    let skipped: Vec<_> = plan.skipped.iter().map(|one| &*one.name).collect();
    assert_eq!(skipped, ["lo", "spare"]);
    // One that has gone meanwhile is nobody's business.
    added(&[("/config/connected", json!(["eth0", "gone0"]))]);
}

#[test]
fn refusals() {
    let rows = [
        (
            "/config/only",
            json!(["eth0"]),
            ErrorKind::AlreadyExists,
            "eth0",
        ),
        (
            "/config/overrides",
            json!({"net9": {}}),
            ErrorKind::NotFound,
            "net9",
        ),
        (
            "/config/overrides/net1/name",
            json!("eth0"),
            ErrorKind::Invalid,
            "eth0",
        ),
        (
            "/config/overrides/net1/name",
            json!("lo"),
            ErrorKind::Invalid,
            "net1",
        ),
        (
            "/config/overrides/net1/name",
            json!(""),
            ErrorKind::Invalid,
            "net1",
        ),
        (
            "/config/overrides/net1/name",
            json!("a b"),
            ErrorKind::Invalid,
            "net1",
        ),
        (
            "/config/overrides/net1/name",
            json!("a/b"),
            ErrorKind::Invalid,
            "net1",
        ),
        (
            "/config/overrides/net1/name",
            json!("0123456789abcdef"),
            ErrorKind::Invalid,
            "net1",
        ),
        (
            "/config/overrides/net1/mtu",
            json!(1401),
            ErrorKind::Invalid,
            "1400",
        ),
        (
            "/config/overrides/net1/mtu",
            json!(0),
            ErrorKind::Invalid,
            "68",
        ),
        (
            "/config/max_interfaces",
            json!(1),
            ErrorKind::Invalid,
            "eth0, net1",
        ),
        (
            "/view/links/1/mac",
            json!("02:00:5e:10:00:03"),
            ErrorKind::Invalid,
            "eth0",
        ),
    ];
    for (pointer, value, kind, word) in rows {
        let error = refused("added", &[(pointer, value.clone())]);
        assert_eq!(error.kind(), kind, "{pointer} {value}: {error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// The guest's eth0 has the address that the link had before it became a port of our bridge.
#[test]
fn a_hardware_address_that_a_guest_has_is_taken() {
    let bridge = json!({"index": 20, "name": "br3_vc", "kind": "bridge", "mtu": 9000, "up": true});
    let port = json!({
        "index": 3, "name": "eth0", "kind": "veth", "mac": "fe:ff:a1:ef:ff:fc", "mtu": 9000,
        "up": true, "master": 20
    });
    let mut changes = [("/view/links/4", bridge), ("/view/links/2", port)];
    added(&changes);
    changes[1].1["mac"] = json!("fe:ff:a1:ef:ff:f8");
    let error = refused("added", &changes);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("eth0"), "{error}");
}

#[test]
fn an_interface_of_somebody_elses_bridge_is_not_taken_from_it() {
    let bridge = json!({"index": 20, "name": "br-lan", "kind": "bridge", "mtu": 9000, "up": true});
    let changes = |model: &str| {
        [
            ("/view/links/4", bridge.clone()),
            ("/view/links/1/master", json!(20)),
            ("/config/model", json!(model)),
        ]
    };
    for model in ["bridged", "macvtap"] {
        let error = refused("added", &changes(model));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("br-lan"), "{error}");
    }
    added(&changes("tcfilter"));
}

/// What to tell a guest of its other interfaces when one has gone.
#[test]
fn routes_of_what_is_connected() {
    let connected = json!(["eth0", "net1", "gone0"]);
    let overrides = json!({"net1": {"name": "eth1"}});
    let input = changed(
        "added",
        &[
            ("/config/connected", connected),
            ("/config/only", json!(null)),
            ("/config/overrides", overrides),
        ],
    );
    let routes = connected_routes(&input.view, &input.config).expect("routes");
    let devices: Vec<_> = routes.iter().map(|route| &*route.device).collect();
    assert!(
        devices.contains(&"eth0") && devices.contains(&"eth1"),
        "{devices:?}"
    );
    let defaults = routes.iter().filter(|route| route.destination.is_none());
    let devices: Vec<_> = defaults.map(|route| &*route.device).collect();
    assert_eq!(devices, ["eth0"]);
    let gateways: Vec<_> = routes.iter().map(|route| route.gateway.is_some()).collect();
    assert!(gateways.is_sorted(), "{gateways:?}");
}
