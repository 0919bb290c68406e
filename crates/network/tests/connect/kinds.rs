//! Interfaces that are not one end of a pair.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;

use virtcontainers_network::{Config, Connection, EndpointKind, ErrorKind, apply, plan, scan};

use crate::fixture::{Ledger, MODELS, Pair, Place, assert_same, path_of, with};
use crate::machine::Machine;
use crate::traffic::echo;

/// A sandbox whose `eth0` is on top of a link of the host, as macvlan plugins make it. The other end
/// of that link is outside; a host and what is on top of its own link do not reach each other.
fn on_top(kind: &str) -> (Pair, Place) {
    let host = Place::new();
    let pair = Pair {
        outside: Place::new(),
        sandbox: Place::new(),
    };
    pair.outside.add_pair("out0", &host, "up0", 1500);
    pair.outside.run("ip address add 10.9.0.1/24 dev out0");
    let into = pair.sandbox.open();
    let path = path_of(&into);
    host.run(&format!(
        "ip link add name eth0 netns {path} link up0 type {kind} mode bridge"
    ));
    pair.sandbox.run(
        "ip link set eth0 addrgenmode none
         ip link set eth0 up
         ip address add 10.9.0.2/24 dev eth0",
    );
    (pair, host)
}

#[test]
fn a_macvlan_is_connected_by_filters_in_every_model() {
    for model in MODELS {
        let (pair, _host) = on_top("macvlan");
        let before = pair.inventory();
        let plan = pair.plan(&with(model));
        assert_eq!(plan.endpoints[0].kind, EndpointKind::MacVlan);
        let ledger = Ledger::new();
        let mut applied = apply(&plan, &pair.sandbox.open(), &ledger).unwrap();
        let machine = Machine::start(applied.for_machine.remove(0));
        assert_eq!(echo(&pair, "10.9.0.2:7", b"hello"), b"hello");
        drop(machine);
        ledger.undo();
        pair.assert_as(&before, "afterwards");
    }
}

#[test]
fn a_macvtap_is_opened_as_it_is() {
    let (pair, _host) = on_top("macvtap");
    let before = pair.inventory();
    let plan = pair.plan(&Config::default());
    assert_eq!(plan.endpoints[0].kind, EndpointKind::MacVtap);
    let ledger = Ledger::new();
    let mut applied = apply(&plan, &pair.sandbox.open(), &ledger).unwrap();
    assert!(ledger.entries().is_empty());
    let machine = Machine::start(applied.for_machine.remove(0));
    assert_eq!(echo(&pair, "10.9.0.2:7", b"hello"), b"hello");
    drop(machine);
    pair.assert_as(&before, "afterwards");
}

/// Links of two namespaces may have the same index, and with it the same file in /dev.
#[test]
fn macvtaps_with_the_same_index_are_not_mixed_up() {
    let pairs = [on_top("macvtap"), on_top("macvtap")];
    let devices = pairs.each_ref().map(|(pair, _host)| {
        let plan = pair.plan(&Config::default());
        let applied = apply(&plan, &pair.sandbox.open(), &Ledger::new()).unwrap();
        let index = plan.endpoints[0].index;
        let nic = applied.for_machine.into_iter().next().unwrap();
        let file = File::from(nic.descriptors.into_iter().next().unwrap());
        (index, file.metadata().unwrap().rdev(), file)
    });
    assert_eq!(devices[0].0, devices[1].0);
    assert_ne!(devices[0].1, devices[1].1);
}

#[test]
fn a_tap_that_somebody_else_serves_is_an_interface_too() {
    let place = Place::new();
    place.run(
        "ip tuntap add name tap0 mode tap
         ip link set tap0 addrgenmode none
         ip link set tap0 up
         ip address add 10.9.0.2/24 dev tap0",
    );
    let before = place.inventory();
    for model in MODELS {
        let plan = plan(&scan(&place.open()).unwrap(), &with(model)).unwrap();
        assert_eq!(plan.endpoints[0].kind, EndpointKind::Tap);
        let ledger = Ledger::new();
        let applied = apply(&plan, &place.open(), &ledger).unwrap();
        assert_eq!(applied.for_machine.len(), 1);
        drop(applied);
        ledger.undo();
        assert_same(&place.inventory(), &before, &format!("{model:?}"));
    }
}

#[test]
fn other_kinds_are_refused_by_name() {
    for (make, word) in [
        ("ip tuntap add name x0 mode tun", "tun"),
        ("ip link add name x0 type vxlan id 7 dstport 4789", "vxlan"),
        ("ip link add name x0 type bridge", "bridge"),
    ] {
        let pair = Pair::new();
        pair.sandbox.run(&format!(
            "{make}
             ip address add 10.10.0.1/24 dev x0"
        ));
        let view = scan(&pair.sandbox.open()).unwrap();
        let error = plan(&view, &Config::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("x0") && text.contains(word), "{text}");
        pair.sandbox.run("ip address flush dev x0");
        let plan = pair.plan(&Config::default());
        let skipped: Vec<_> = plan.skipped.iter().map(|one| &*one.name).collect();
        assert_eq!(skipped, ["lo", "x0"]);
    }
}

#[test]
fn a_user_space_switch_has_a_socket() {
    let pair = Pair::new();
    let before = pair.inventory();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("switch.sock");
    let config = Config {
        vhost_user: BTreeMap::from([("eth0".to_owned(), socket.clone())]),
        ..Config::default()
    };
    let plan = pair.plan(&config);
    assert!(plan.endpoints[0].effects.is_empty() && !plan.endpoints[0].vhost);
    let refused = |kind: ErrorKind, word: &str| {
        let ledger = Ledger::new();
        let error = apply(&plan, &pair.sandbox.open(), &ledger).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(word) && text.contains("switch.sock"),
            "{text}"
        );
        assert!(ledger.entries().is_empty());
    };
    refused(ErrorKind::NotFound, "does not exist");
    std::fs::write(&socket, "").unwrap();
    refused(ErrorKind::Invalid, "is not a socket");
    std::fs::remove_file(&socket).unwrap();
    let _switch = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ledger = Ledger::new();
    let applied = apply(&plan, &pair.sandbox.open(), &ledger).unwrap();
    let nic = &applied.for_machine[0];
    assert_eq!(nic.connection, Connection::VhostUser { socket });
    assert!(nic.descriptors.is_empty() && nic.vhost.is_empty());
    assert_eq!(applied.for_guest.interfaces[0].addresses.len(), 3);
    assert!(ledger.entries().is_empty());
    pair.assert_as(&before, "afterwards");
}

/// Devices cannot be given to machines here; what is written to sysfs is tried with one that is made
/// up, beside the code.
#[test]
fn a_device_that_is_not_there_is_refused_before_anything_happens() {
    let pair = Pair::new();
    let before = pair.inventory();
    let mut plan = pair.plan(&Config::default());
    plan.endpoints[0].connection = Connection::Vfio {
        address: "ffff:ff:1f.7".to_owned(),
    };
    let ledger = Ledger::new();
    let error = apply(&plan, &pair.sandbox.open(), &ledger).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("ffff:ff:1f.7"), "{error}");
    assert!(ledger.entries().is_empty());
    pair.assert_as(&before, "afterwards");
}
