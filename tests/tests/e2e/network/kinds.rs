//! Interfaces of other kinds than one end of a pair, in a real guest. What is on top of a link of the
//! host shares it with others, as macvlan and ipvlan plugins make it.

use anyhow::{Result, ensure};
use virtcontainers_tests::{Netns, Place};

use super::{Guest, assert_echo, assert_reaches};

/// A host whose link `up0` leads to `out0` outside, which is the gateway, and a sandbox. A host and what
/// is on top of its own link do not reach each other.
struct Host {
    outside: Netns,
    host: Netns,
    sandbox: Netns,
}

impl Host {
    fn new(place: &Place) -> Result<Self> {
        let [outside, host, sandbox] = ["out", "host", "in"].map(|name| Netns::new(place, name));
        let made = Self {
            outside: outside?,
            host: host?,
            sandbox: sandbox?,
        };
        made.outside.join("out0", &made.host, "up0", 1500)?;
        made.outside.run(
            "ip address add 10.9.0.1/24 dev out0
             ip address add 10.8.0.1/24 dev out0",
        )?;
        Ok(made)
    }

    /// A link of the sandbox on top of the host's; false where the kernel has none of this kind.
    fn add(&self, name: &str, kind: &str, address: &str) -> Result<bool> {
        let line = format!(
            "ip link add name {name} netns {} link up0 type {kind}",
            self.sandbox.name()
        );
        match self.host.run(&line) {
            Err(error) if format!("{error:#}").contains("Unknown device type") => return Ok(false),
            made => made?,
        };
        self.sandbox.run(&format!(
            "ip link set {name} addrgenmode none
             ip link set {name} up
             ip address add {address} dev {name}"
        ))?;
        Ok(true)
    }

    /// What the sandbox has is served by a guest, and is as it was afterwards.
    fn serves(self, place: &Place, wanted: &[&str], addresses: &[[&str; 2]]) -> Result<()> {
        let before = self.sandbox.inventory()?;
        let guest = Guest::start(place, "guest", &self.sandbox.path())?;
        let links = guest.links()?;
        ensure!(links == wanted, "{links:?} are connected");
        for [inside, outside] in addresses {
            assert_echo(&self.outside, &format!("{inside}:7"))?;
            assert_reaches(&guest, &self.outside, outside)?;
        }
        guest.delete()?;
        self.sandbox.assert_as(&before)?;
        drop(self);
        place.assert_clean()
    }
}

#[test]
fn a_macvlan_a_macvtap_and_a_tap_are_taken_over() -> Result<()> {
    let place = Place::new()?;
    let host = Host::new(&place)?;
    ensure!(host.add("eth0", "macvlan mode bridge", "10.9.0.2/24")?);
    ensure!(host.add("mvt0", "macvtap mode bridge", "10.8.0.2/24")?);
    // Nobody serves its other end.
    host.sandbox.run(
        "ip tuntap add name own0 mode tap
         ip link set own0 addrgenmode none
         ip link set own0 up
         ip address add 192.0.2.2/24 dev own0",
    )?;
    let addresses = [["10.9.0.2", "10.9.0.1"], ["10.8.0.2", "10.8.0.1"]];
    host.serves(&place, &["eth0", "mvt0", "own0"], &addresses)
}

/// Where the kernel has ipvlan: `docs/status.md` lists it among what a machine may lack.
#[test]
fn an_ipvlan_is_taken_over() -> Result<()> {
    let place = Place::new()?;
    let host = Host::new(&place)?;
    if !host.add("eth0", "ipvlan mode l2", "10.9.0.2/24")? {
        println!("skipped: this kernel has no ipvlan");
        return Ok(());
    }
    host.serves(&place, &["eth0"], &[["10.9.0.2", "10.9.0.1"]])
}
