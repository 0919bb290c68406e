//! Names: the resolver file, in the container and in the guest around it, and the host name.

use anyhow::{Result, ensure};
use virtcontainers_tests::Place;

use super::{ECHO, Guest, READY, Wire, joined};

const RESOLVER: &str = "# made by a manager\n\
    search example.org lab.example.org\n\
    nameserver 192.0.2.53\n\
    nameserver 2001:db8::53\n\
    options ndots:2\n";

#[test]
fn the_resolver_file_is_in_container_and_guest() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    let before = wire.inventory()?;
    let resolver = place.path("resolv.conf");
    std::fs::write(&resolver, RESOLVER)?;
    let bundle = joined(&place, &wire.sandbox.path(), ECHO)?;
    let mut bundle = bundle.mount("bind", &resolver, "/etc/resolv.conf", &["bind", "ro"]);
    bundle.spec["hostname"] = "web.example.org".into();
    let settings = "[agent.kata]\ndebug_console_enabled = true\n";
    let guest = Guest::new(&place, "names", settings)?;
    guest.run(&bundle)?;
    guest.sh(READY)?;

    let seen = guest.sh("cat /etc/resolv.conf")?;
    ensure!(seen == RESOLVER, "the container has {seen:?}");
    let seen = guest.sh("hostname")?;
    ensure!(seen == "web.example.org\n", "{seen:?}");
    // The guest's own, where its agent looks names up.
    let console = guest.vc(["console", &guest.id]);
    let seen = console.finish_with(b"cat /etc/resolv.conf\n")?;
    let seen = seen.expect(0)?.text();
    for line in RESOLVER.lines().filter(|line| !line.starts_with('#')) {
        ensure!(seen.contains(line), "the guest has no {line:?}: {seen}");
    }

    guest.delete()?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}
