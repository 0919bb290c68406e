//! Interfaces that come and go while the machine runs, and while another one carries traffic.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use virtcontainers_tests::Place;

use super::flow::Flow;
use super::{Guest, MAC, READY, Wire, assert_echo, assert_reaches, settings};

#[test]
fn by_filters() -> Result<()> {
    comes_and_goes("tcfilter")
}

#[test]
fn by_a_macvtap() -> Result<()> {
    comes_and_goes("macvtap")
}

#[test]
fn by_a_bridge() -> Result<()> {
    comes_and_goes("bridged")
}

/// One interface carries a stream, while another comes and goes.
fn comes_and_goes(model: &str) -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    let before = wire.inventory()?;
    let guest = Guest::start_with(&place, model, &wire.sandbox.path(), &settings(model))?;
    wire.add_lan(9000)?;
    wire.sandbox.run(
        "ip route add 198.51.100.0/24 via 10.8.0.77
         ip neighbor add 10.8.0.77 lladdr 02:00:5e:aa:00:77 dev lan0",
    )?;
    let idle = wire.inventory()?;
    let flow = Flow::start(&wire.outside, "10.9.0.2:7")?;
    flow.goes_on()?;

    // Twice the same, so that the place it had is given again.
    for round in 0..2 {
        let told = || format!("round {round}");
        guest.add(&["lan0"]).with_context(told)?;
        let seen = guest.sh("cd /sys/class/net/lan0; cat mtu")?;
        ensure!(seen == "9000\n", "{seen:?}");
        guest.sh(READY)?;
        let seen = guest.sh("ip route; ip neigh show dev lan0 nud permanent")?;
        for wanted in [
            "198.51.100.0/24 via 10.8.0.77 dev lan0",
            "02:00:5e:aa:00:77",
        ] {
            ensure!(seen.contains(wanted), "no {wanted} in {seen}");
        }
        assert_echo(&wire.outside, "10.8.0.2:7").with_context(told)?;
        assert_echo(&wire.outside, "[fd00:8::2]:7").with_context(told)?;
        assert_reaches(&guest, &wire.outside, "10.8.0.1").with_context(told)?;
        flow.goes_on().with_context(told)?;
        ensure!(guest.links()? == ["eth0", "lan0"], "{:?}", guest.links()?);
        guest.remove("lan0").with_context(told)?;
        assert_gone(&guest, &wire, "lan0").with_context(told)?;
        wire.assert_as(&idle).with_context(told)?;
        flow.goes_on().with_context(told)?;
    }

    // As the guest should have it, not as the namespace has it.
    let words = [
        "--name",
        "data",
        "--address",
        "10.8.0.9/24",
        "--mtu",
        "1300",
        "lan0",
    ];
    guest.add(&words)?;
    let seen = guest.sh("cat /sys/class/net/data/mtu /sys/class/net/data/address")?;
    let (mtu, mac) = seen.split_once('\n').context("no address")?;
    ensure!(mtu == "1300", "{seen}");
    assert_echo(&wire.outside, "10.8.0.9:7")?;
    guest.remove(mac.trim())?;
    assert_gone(&guest, &wire, "data")?;
    wire.assert_as(&idle)?;
    flow.goes_on()?;
    flow.finish()?;

    // What was there at the start goes too, and comes again.
    guest.remove("eth0")?;
    ensure!(guest.links()?.is_empty(), "{:?}", guest.links()?);
    wire.outside.run("ip link delete out1")?;
    wire.assert_as(&before)?;
    guest.add(&["eth0"])?;
    guest.sh(READY)?;
    ensure!(guest.sh("cat /sys/class/net/eth0/address")?.trim() == MAC);
    assert_echo(&wire.outside, "10.9.0.2:7")?;
    assert_reaches(&guest, &wire.outside, "10.9.0.1")?;
    let routes = guest.sh("ip route; ip -6 route")?;
    for wanted in ["default via 10.9.0.1", "default via fd00:9::1"] {
        ensure!(routes.contains(wanted), "no {wanted} in {routes}");
    }

    guest.delete()?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

/// Neither the guest has it nor anybody tells of it.
fn assert_gone(guest: &Guest<'_>, wire: &Wire, name: &str) -> Result<()> {
    let seen = guest.sh("ls /sys/class/net")?;
    ensure!(!seen.lines().any(|line| line == name), "{seen}");
    ensure!(guest.links()? == ["eth0"], "{:?}", guest.links()?);
    ensure!(wire.sandbox.links()?.contains("lan0"), "the link has gone");
    Ok(())
}

impl Guest<'_> {
    /// `vc network add` with these words.
    pub(super) fn add(&self, words: &[&str]) -> Result<()> {
        let (link, options) = words.split_last().context("no link")?;
        let add = self.vc(["network", "add"]
            .into_iter()
            .chain(options.iter().copied()));
        add.arg(&self.id).arg(*link).finish()?.expect(0).map(drop)
    }

    /// `vc network remove`.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let remove = self.vc(["network", "remove", &self.id, name]);
        remove.finish()?.expect(0).map(drop)
    }

    /// The links of the namespace that `vc` says are connected.
    pub(super) fn links(&self) -> Result<Vec<String>> {
        let inspect = self.vc(["inspect", &self.id]).finish()?.expect(0)?;
        let inspect: Value = serde_json::from_slice(&inspect.stdout)?;
        let connected = inspect["network"]["interfaces"].as_array();
        let connected = connected.with_context(|| format!("no network in {inspect}"))?;
        let names = connected
            .iter()
            .map(|one| Some(one["link"].as_str()?.to_owned()));
        let names: Option<Vec<_>> = names.collect();
        names.context("an interface without a link")
    }
}
