//! Two sandboxes behind one bridge, as container managers connect them.

use anyhow::{Result, ensure};
use virtcontainers_tests::{Netns, Place};

use super::{ECHO, Guest, READY, assert_echo, assert_reaches, joined};

#[test]
fn two_sandboxes_reach_each_other_and_the_outside() -> Result<()> {
    let place = Place::new()?;
    let outside = Netns::new(&place, "out")?;
    outside.run(
        "ip link add name br0 type bridge
         ip link set br0 addrgenmode none
         ip link set br0 up
         ip address add 10.9.0.1/24 dev br0",
    )?;
    let mut sandboxes = Vec::new();
    for number in [2, 3] {
        let sandbox = Netns::new(&place, &format!("in{number}"))?;
        let port = format!("port{number}");
        outside.join(&port, &sandbox, "eth0", 1500)?;
        outside.run(&format!("ip link set {port} master br0"))?;
        sandbox.run(&format!(
            "ip address add 10.9.0.{number}/24 dev eth0
             ip route add default via 10.9.0.1"
        ))?;
        sandboxes.push(sandbox);
    }
    let before = [&outside, &sandboxes[0], &sandboxes[1]].map(Netns::inventory);

    let guests = sandboxes.iter().zip(["one", "two"]).map(|(sandbox, name)| {
        let mut bundle = joined(&place, &sandbox.path(), ECHO)?;
        bundle.spec["hostname"] = name.into();
        Guest::of(&place, name, &bundle)
    });
    let guests = guests.collect::<Result<Vec<_>>>()?;
    for (guest, own, other) in [(&guests[0], 2, 3), (&guests[1], 3, 2)] {
        guest.sh(READY)?;
        assert_echo(&outside, &format!("10.9.0.{own}:7"))?;
        assert_reaches(guest, &outside, "10.9.0.1")?;
        let said = guest.sh(&format!("hostname | nc -w 20 10.9.0.{other} 7"))?;
        ensure!(said == guest.sh("hostname")?, "{said}");
    }
    // The other stays on the network when one goes.
    let [one, two]: [Guest<'_>; 2] = guests.try_into().map_err(|_| anyhow::anyhow!("not two"))?;
    one.delete()?;
    assert_echo(&outside, "10.9.0.3:7")?;
    two.delete()?;
    for (namespace, before) in [&outside, &sandboxes[0], &sandboxes[1]].iter().zip(before) {
        namespace.assert_as(&before?)?;
    }
    drop((outside, sandboxes));
    place.assert_clean()
}
