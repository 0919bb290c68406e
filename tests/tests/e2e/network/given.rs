//! The guest has what the namespace has: names, addresses, sizes, routes, neighbours.

use anyhow::{Result, ensure};
use virtcontainers_tests::{Netns, Place};

use super::{Guest, MAC, Wire, assert_echo};

#[test]
fn the_guest_has_the_namespaces_interfaces() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1400)?;
    // Another name, another size, several addresses of both families.
    wire.outside.join("out1", &wire.sandbox, "lan-7.x", 9000)?;
    wire.outside.run("ip address add 10.8.0.1/24 dev out1")?;
    wire.sandbox.run(
        "ip link set lan-7.x address 02:00:5e:aa:00:07
         ip address add 10.8.0.2/24 dev lan-7.x
         ip address add 10.8.0.3/24 dev lan-7.x
         ip address add 10.8.7.7/32 dev lan-7.x
         ip address add fd00:8::2/64 dev lan-7.x nodad
         ip address add fd00:8::3/64 dev lan-7.x nodad
         ip route add 198.51.100.0/24 via 10.8.0.77
         ip route add 203.0.113.7/32 via 192.0.2.1 dev eth0 onlink mtu 1300
         ip -6 route add 2001:db8::/32 via fd00:8::77
         ip neighbor add 10.8.0.77 lladdr 02:00:5e:aa:00:77 dev lan-7.x
         ip neighbor add fd00:8::77 lladdr 02:00:5e:aa:00:78 dev lan-7.x",
    )?;
    // One without an address is left alone.
    wire.outside.join("out2", &wire.sandbox, "idle0", 1500)?;
    let before = wire.inventory()?;
    let guest = Guest::start(&place, "given", &wire.sandbox.path())?;

    let names = guest.sh("ls /sys/class/net")?;
    let names: Vec<_> = names.lines().collect();
    ensure!(names == ["eth0", "lan-7.x", "lo"], "{names:?}");
    for (name, mac, mtu) in [("eth0", MAC, 1400), ("lan-7.x", "02:00:5e:aa:00:07", 9000)] {
        let seen = guest.sh(&format!("cd /sys/class/net/{name}; cat address mtu"))?;
        ensure!(seen == format!("{mac}\n{mtu}\n"), "{name}: {seen:?}");
    }
    for (name, wanted) in [
        ("eth0", ["10.9.0.2/24", "fd00:9::2/64"].as_slice()),
        (
            "lan-7.x",
            &[
                "10.8.0.2/24",
                "10.8.0.3/24",
                "10.8.7.7/32",
                "fd00:8::2/64",
                "fd00:8::3/64",
            ],
        ),
    ] {
        let mut seen = addresses(&guest, name)?;
        seen.sort();
        ensure!(seen == wanted, "{name}: {seen:?}");
    }
    let script = "ip route; ip -6 route; ip neigh | grep PERMANENT";
    let seen = guest.sh(script)?;
    for wanted in [
        "default via 10.9.0.1 dev eth0",
        "198.51.100.0/24 via 10.8.0.77 dev lan-7.x",
        "203.0.113.7 via 192.0.2.1 dev eth0 onlink",
        "default via fd00:9::1 dev eth0",
        "2001:db8::/32 via fd00:8::77 dev lan-7.x",
        "10.8.0.77 dev lan-7.x lladdr 02:00:5e:aa:00:77",
        "fd00:8::77 dev lan-7.x lladdr 02:00:5e:aa:00:78",
    ] {
        let there = seen.lines().any(|line| squeezed(line).starts_with(wanted));
        ensure!(there, "no {wanted:?} in {seen}");
    }
    for to in ["10.9.0.2:7", "10.8.0.2:7", "10.8.0.3:7"] {
        assert_echo(&wire.outside, to)?;
    }
    guest.delete()?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

#[test]
fn an_empty_namespace_has_only_the_loopback_interface() -> Result<()> {
    let place = Place::new()?;
    let namespace = Netns::new(&place, "in")?;
    let before = namespace.inventory()?;
    let guest = Guest::start(&place, "empty", &namespace.path())?;
    let seen =
        guest.sh("ls /sys/class/net; ip -4 route; nc 127.0.0.1 7 < /etc/hostname; hostname")?;
    let mut lines = seen.lines();
    ensure!(lines.next() == Some("lo"), "{seen}");
    ensure!(!seen.contains("dev "), "{seen}");
    guest.delete()?;
    namespace.assert_as(&before)?;
    drop(namespace);
    place.assert_clean()
}

/// The addresses of an interface, without the link-local one that IPv6 makes by itself.
fn addresses(guest: &Guest<'_>, name: &str) -> Result<Vec<String>> {
    let told = guest.sh(&format!("ip -o address show dev {name}"))?;
    let words = told
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3));
    let kept = words.filter(|address| !address.starts_with("fe80:"));
    Ok(kept.map(str::to_owned).collect())
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
