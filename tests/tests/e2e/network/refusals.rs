//! What cannot be connected is refused by name, before anything has happened.

use std::path::Path;

use anyhow::{Result, ensure};
use virtcontainers_tests::{Netns, Place};

use super::{Wire, joined};

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
        super::MAC
    ))?;
    let before = wire.inventory()?;
    refused(&place, &wire.sandbox.path(), &["eth0", "eth1", super::MAC])?;
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
