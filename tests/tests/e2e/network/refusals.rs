//! What cannot be connected is refused by name, before anything has happened.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use virtcontainers_tests::{Netns, Place};

use super::{Guest, MAC, Wire, joined, settings};

/// `vc run` in a namespace has to fail, and to say these words.
fn refused(place: &Place, namespace: &Path, words: &[&str]) -> Result<()> {
    let run = joined(place, namespace, "true")?.run(&place.id("refused"))?;
    let said = run.finish()?.expect(1)?.stderr;
    for word in words {
        ensure!(said.contains(word), "no {word:?} in {said}");
    }
    let known = place.vc(["list", "--quiet"]).finish()?.expect(0)?.text();
    ensure!(known.is_empty(), "{known}");
    Ok(())
}

#[test]
fn a_link_of_a_kind_that_carries_nothing() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    wire.sandbox.run(
        "ip link add name odd0 type bridge
         ip link set odd0 addrgenmode none
         ip address add 192.0.2.1/24 dev odd0",
    )?;
    let before = wire.inventory()?;
    refused(&place, &wire.sandbox.path(), &["odd0", "bridge", "veth"])?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

#[test]
fn two_interfaces_with_one_hardware_address() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    wire.outside.join("out1", &wire.sandbox, "eth1", 1500)?;
    wire.sandbox.run(&format!(
        "ip link set eth1 address {}
         ip address add 192.0.2.1/24 dev eth1",
        MAC
    ))?;
    let before = wire.inventory()?;
    refused(&place, &wire.sandbox.path(), &["eth0", "eth1", MAC])?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

#[test]
fn a_namespace_that_is_none() -> Result<()> {
    let place = Place::new()?;
    let missing = place.path("missing");
    let file = place.path("file");
    std::fs::write(&file, "")?;
    for path in [&missing, &file] {
        refused(&place, path, &[&path.display().to_string()])?;
    }
    let host = format!("/proc/{}/ns/net", std::process::id());
    refused(&place, Path::new(&host), &[&host, "host"])?;
    let other = Path::new("/proc/self/ns/uts");
    refused(&place, other, &["/proc/self/ns/uts", "network namespace"])?;
    let removed = Netns::new(&place, "gone")?.path();
    refused(&place, &removed, &[&removed.display().to_string()])?;
    place.assert_clean()
}

#[test]
fn more_interfaces_than_a_machine_has_slots() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    for number in 1..32 {
        let name = format!("net{number}");
        wire.outside.join(&name, &wire.sandbox, &name, 1500)?;
        let line = format!("ip address add 10.{number}.0.2/24 dev {name}");
        wire.sandbox.run(&line)?;
    }
    let before = wire.inventory()?;
    refused(&place, &wire.sandbox.path(), &["32", "31", "interfaces"])?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

#[test]
fn a_configuration_that_makes_no_sense() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    let before = wire.inventory()?;
    for (settings, words) in [
        (settings("magic"), ["network.model", "magic", "macvtap"]),
        (
            "[network.rate]\ninbound = \"fast\"\n".to_owned(),
            ["network.rate", "inbound", "fast"],
        ),
        (
            "[network.rates.eth0]\nsideways = 1\n".to_owned(),
            ["network.rates", "sideways", "inbound"],
        ),
        (
            "[network.vhost_user]\neth0 = \"/nowhere/switch\"\n".to_owned(),
            ["eth0", "/nowhere/switch", "switch"],
        ),
    ] {
        let guest = Guest::new(&place, "odd", &settings)?;
        let bundle = joined(&place, &wire.sandbox.path(), "true")?;
        bundle.write()?;
        let run = guest.vc(["run", "--bundle"]).arg(bundle.directory());
        let said = run.arg(&guest.id).finish()?.expect(1)?.stderr;
        for word in words {
            ensure!(said.contains(word), "no {word:?} in {said}");
        }
        wire.assert_as(&before)?;
    }
    drop(wire);
    place.assert_clean()
}

/// What cannot be added to a machine that runs, or taken from it.
#[test]
fn a_change_of_what_is_not_there_or_cannot_be() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    let guest = Guest::start(&place, "guest", &wire.sandbox.path())?;
    wire.add_lan(1500)?;
    wire.outside.join("out2", &wire.sandbox, "twin0", 1500)?;
    wire.sandbox.run(&format!(
        "ip link set twin0 address {MAC}
         ip address add 192.0.2.1/24 dev twin0
         ip link add name odd0 type bridge
         ip link set odd0 addrgenmode none
         ip address add 192.0.2.2/24 dev odd0"
    ))?;
    wire.outside.join("out3", &wire.sandbox, "naked0", 1500)?;
    let told = || -> Result<String> {
        let inspect = guest.vc(["inspect", &guest.id]).finish()?.expect(0)?;
        let whole: serde_json::Value = serde_json::from_slice(&inspect.stdout)?;
        Ok(format!("{}{}", whole["network"], whole["pending"]))
    };
    // That there is a carrier is told some time after an interface was set up.
    let sight = || guest.sh("ip link | sed s/NO-CARRIER,//; ip route");
    let (before, known, seen) = (wire.inventory()?, told()?, sight()?);
    let [add, remove, route] = [
        ["network", "add"],
        ["network", "remove"],
        ["network", "set-route"],
    ];
    let id = &*guest.id;
    for (command, words, wanted) in [
        (add, &[id, "nowhere0"] as &[&str], &["nowhere0"] as &[&str]),
        (add, &[id, "lo"], &["lo"]),
        (add, &[id, "eth0"], &["eth0", "already"]),
        (add, &[id, "tap2_vc"], &["tap2_vc"]),
        (add, &[id, "odd0"], &["odd0", "bridge"]),
        (add, &[id, "twin0"], &["twin0", MAC]),
        (add, &[id, "naked0"], &["naked0", "address"]),
        (add, &["--name", "eth0", id, "lan0"], &["lan0", "eth0"]),
        (add, &["--name", "a/b", id, "lan0"], &["a/b"]),
        (
            add,
            &["--mtu", "9000", id, "lan0"],
            &["lan0", "9000", "1500"],
        ),
        (add, &["nobody", "lan0"], &["nobody"]),
        (remove, &[id, "nowhere0"], &["nowhere0"]),
        (remove, &[id, "02:00:5e:aa:00:99"], &["02:00:5e:aa:00:99"]),
        (remove, &["nobody", "eth0"], &["nobody"]),
        (
            route,
            &[id, "default via 10.9.0.1 dev nowhere0"],
            &["nowhere0"],
        ),
        (
            route,
            &[id, "default via 192.0.2.77 dev eth0"],
            &["default", "eth0"],
        ),
        (route, &[id, "default via 10.9.0.1 dev lan0"], &["lan0"]),
    ] {
        let call = guest.vc(command.iter().chain(words).copied()).finish()?;
        let said = format!("{words:?}: {}", call.stderr);
        ensure!(call.status == 1, "{said}: {}", call.status);
        for word in wanted {
            ensure!(call.stderr.contains(word), "no {word:?} in {said}");
        }
        wire.assert_as(&before).with_context(|| said.clone())?;
        ensure!(told()? == known, "{said}: {} was {known}", told()?);
    }
    // Not even begun.
    for (words, wanted) in [
        (
            ["add", "--address", "10.8.0.300/24", id, "lan0"].as_slice(),
            "10.8.0.300",
        ),
        (
            &["set-route", id, "default via 10.9.0.300 dev eth0"],
            "10.9.0.300",
        ),
        (&["set-route", id, "default via 10.9.0.1"], "dev"),
    ] {
        let call = guest.vc(["network"].into_iter().chain(words.iter().copied()));
        let call = call.finish()?;
        let told = call.status != 0 && call.stderr.contains(wanted);
        ensure!(told, "{words:?}: {} {}", call.status, call.stderr);
    }
    let now = sight()?;
    ensure!(now == seen, "the guest has {now}, and had {seen}");
    guest.delete()?;
    drop(wire);
    place.assert_clean()
}
