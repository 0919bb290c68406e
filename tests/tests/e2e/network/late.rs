//! Interfaces that appear after the sandbox was made, and such that were promised and do not.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use virtcontainers_tests::{Netns, Place};

use super::{ECHO, Guest, READY, assert_echo, assert_reaches, joined};

/// A namespace is a promise that there will be an interface in it.
const PROMISED: &str = "[network]\nrequired = true\n";

/// A namespace without interfaces, and one outside.
struct Bare {
    outside: Netns,
    sandbox: Netns,
}

impl Bare {
    fn new(place: &Place) -> Result<Self> {
        Ok(Self {
            outside: Netns::new(place, "out")?,
            sandbox: Netns::new(place, "in")?,
        })
    }

    /// What container managers do that connect a sandbox after it was made.
    fn connect(&self) -> Result<()> {
        self.outside.join("out0", &self.sandbox, "eth0", 1500)?;
        self.outside.run("ip address add 10.9.0.1/24 dev out0")?;
        // What has an address counts: that comes last, for somebody who waits.
        self.sandbox.run(
            "ip route add default via 10.9.0.1 dev eth0 onlink
             ip address add 10.9.0.2/24 dev eth0",
        )?;
        Ok(())
    }

    fn inventory(&self) -> Result<BTreeSet<String>> {
        self.sandbox.inventory()
    }
}

/// The guest has the interface, with its routes, and is reached by it.
fn assert_connected(guest: &Guest<'_>, bare: &Bare) -> Result<()> {
    guest.sh(READY)?;
    let routes = guest.sh("ip route")?;
    let there = routes.contains("default via 10.9.0.1 dev eth0");
    ensure!(there, "{routes:?}");
    assert_echo(&bare.outside, "10.9.0.2:7")?;
    assert_reaches(guest, &bare.outside, "10.9.0.1")
}

#[test]
fn what_appears_between_create_and_start_is_taken_over() -> Result<()> {
    let place = Place::new()?;
    let bare = Bare::new(&place)?;
    let guest = Guest::new(&place, "late", PROMISED)?;
    guest.create(&joined(&place, &bare.sandbox.path(), ECHO)?)?;
    bare.connect()?;
    let before = bare.inventory()?;
    guest.vc(["start", &guest.id]).finish()?.expect(0)?;
    assert_connected(&guest, &bare)?;
    guest.delete()?;
    bare.sandbox.assert_as(&before)?;
    drop(bare);
    place.assert_clean()
}

#[test]
fn what_appears_while_start_waits_for_it_is_taken_over() -> Result<()> {
    let place = Place::new()?;
    let bare = Bare::new(&place)?;
    // So long that only the kernel's news can have ended the wait.
    let settings = format!("{PROMISED}[runtime]\ndeadline_factor = 20.0\n");
    let guest = Guest::new(&place, "awaited", &settings)?;
    guest.create(&joined(&place, &bare.sandbox.path(), ECHO)?)?;
    let start = guest.vc(["start", &guest.id]).start()?;
    // It is well on its way when another command has come and gone.
    guest.vc(["state", &guest.id]).finish()?.expect(0)?;
    bare.connect()?;
    start.finish()?.expect(0)?;
    assert_connected(&guest, &bare)?;
    guest.delete()?;
    drop(bare);
    place.assert_clean()
}

#[test]
fn what_appears_while_run_waits_for_it_is_taken_over() -> Result<()> {
    let place = Place::new()?;
    let bare = Bare::new(&place)?;
    let settings = format!("{PROMISED}[runtime]\ndeadline_factor = 20.0\n");
    let guest = Guest::new(&place, "run", &settings)?;
    let bundle = joined(&place, &bare.sandbox.path(), ECHO)?;
    std::thread::scope(|scope| {
        let running = scope.spawn(|| guest.run(&bundle));
        guest.vc(["list"]).finish()?.expect(0)?;
        bare.connect()?;
        let ran = running.join();
        ran.map_err(|_| anyhow::anyhow!("a thread panicked"))?
    })?;
    assert_connected(&guest, &bare)?;
    guest.delete()?;
    drop(bare);
    place.assert_clean()
}

#[test]
fn a_run_that_was_promised_a_network_leaves_nothing_without_one() -> Result<()> {
    let place = Place::new()?;
    let bare = Bare::new(&place)?;
    let before = bare.inventory()?;
    let guest = Guest::new(&place, "run", PROMISED)?;
    let bundle = joined(&place, &bare.sandbox.path(), "true")?;
    bundle.write()?;
    let run = guest.vc(["run", "--bundle"]).arg(bundle.directory());
    let said = run.arg(&guest.id).finish()?.expect(1)?.stderr;
    let namespace = bare.sandbox.path().display().to_string();
    let told = said.contains(&namespace) && said.contains("did not come within");
    ensure!(told, "{said}");
    let known = guest.vc(["list", "--quiet"]).finish()?.expect(0)?.text();
    ensure!(known.is_empty(), "{known}");
    bare.sandbox.assert_as(&before)?;
    drop(bare);
    place.assert_clean()
}

#[test]
fn a_promise_that_is_not_kept_is_an_error_and_the_sandbox_waits_for_another_start() -> Result<()> {
    let place = Place::new()?;
    let bare = Bare::new(&place)?;
    let before = bare.inventory()?;
    let guest = Guest::new(&place, "promised", PROMISED)?;
    guest.create(&joined(&place, &bare.sandbox.path(), ECHO)?)?;
    let start = guest.vc(["start", &guest.id]).finish()?.expect(1)?;
    let namespace = bare.sandbox.path().display().to_string();
    let told = start.stderr.contains(&namespace) && start.stderr.contains("did not come within");
    ensure!(told, "{}", start.stderr);
    // The promise, not what waits for a boot, and with room for a busy host.
    ensure!(start.took < Duration::from_secs(30), "{:?}", start.took);
    let state = guest.vc(["state", &guest.id]).finish()?.expect(0)?.text();
    ensure!(state.contains("\"created\""), "{state}");
    bare.sandbox.assert_as(&before)?;

    bare.connect()?;
    guest.vc(["start", &guest.id]).finish()?.expect(0)?;
    assert_connected(&guest, &bare)?;
    guest.delete()?;
    drop(bare);
    place.assert_clean()
}

#[test]
fn an_interface_without_an_address_keeps_no_promise_and_gets_one() -> Result<()> {
    let place = Place::new()?;
    let bare = Bare::new(&place)?;
    bare.outside.join("out0", &bare.sandbox, "eth0", 1500)?;
    let guest = Guest::new(&place, "naked", PROMISED)?;
    guest.create(&joined(&place, &bare.sandbox.path(), ECHO)?)?;
    let start = guest.vc(["start", &guest.id]).finish()?.expect(1)?;
    // What is there instead is told.
    ensure!(start.stderr.contains("eth0"), "{}", start.stderr);
    bare.outside.run("ip address add 10.9.0.1/24 dev out0")?;
    bare.sandbox.run(
        "ip address add 10.9.0.2/24 dev eth0
         ip route add default via 10.9.0.1",
    )?;
    guest.vc(["start", &guest.id]).finish()?.expect(0)?;
    assert_connected(&guest, &bare)?;
    guest.delete()?;
    drop(bare);
    place.assert_clean()
}
